"""Latent spaces and pictures whose measures are known in closed form or planted."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from vaebook.experiments.pictures import edge_energy, variety
from vaebook.experiments.sizes import embed, keep_latents, separation, without_idle
from vaelib.config import ConfigError
from vaelib.evaluation import encode, kl_per_dim, log_likelihood
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, VAEConfig
from vaelib.objectives import elbo
from vaelib.priors import StandardNormal


def blobs(distance, classes=3, each=40, dimensions=4):
    draws = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    centres = distance * np.eye(classes, dimensions)
    return centres[labels] + draws.normal(size=(len(labels), dimensions)), labels


def new_model(latent_dim=4, **settings):
    torch.manual_seed(0)
    return VAE(VAEConfig(latent_dim=latent_dim, **{"hidden": (8,), **settings}), (2, 3))


def images(n=20, pixels=6):
    return torch.rand(n, pixels, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------------------- separation


def test_separation_is_complete_for_classes_far_apart_and_chance_for_classes_in_one_place():
    far, near = separation(*blobs(1000.0)), separation(*blobs(0.0))
    assert far.accuracy == 1 and far.silhouette > 0.98
    assert near.accuracy == pytest.approx(1 / 3, abs=0.12) and near.silhouette == pytest.approx(0, abs=0.03)


def test_silhouette_of_four_points_is_that_of_its_definition():
    points = np.repeat([[0.0, 0], [0, 1], [5, 0], [5, 1]], 5, axis=0)
    labels = np.repeat([0, 0, 1, 1], 5)
    a, b = 5 / 9, (5 + 26**0.5) / 2  # of ten points in a class, five lie in one place
    assert separation(points, labels, neighbours=1).silhouette == pytest.approx((b - a) / b)


# ------------------------------------------------------------------------------------------------------------ embed


def test_pca_finds_the_plane_that_points_lie_in():
    plane = np.random.default_rng(0).normal(size=(50, 2)) * [3, 1]
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0][:2]
    assert pdist(embed(plane @ turned, "pca")) == pytest.approx(pdist(plane))


def test_tsne_keeps_blobs_apart_and_repeats_itself():
    points, labels = blobs(30.0)
    picture = embed(torch.from_numpy(points), perplexity=10, seed=3)
    assert picture.shape == (120, 2) and separation(picture, labels).accuracy == 1
    np.testing.assert_array_equal(picture, embed(points, perplexity=10, seed=3))


# ----------------------------------------------------------------------------------------------------- keep_latents


@pytest.mark.parametrize("hidden", [(8,), (8, 5), ()])
def test_a_model_of_the_kept_latents_decodes_as_the_whole_one_with_the_others_at_zero(hidden):
    model, keep = new_model(hidden=hidden), [True, False, True, False]
    small = keep_latents(model, keep)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    whole = torch.zeros(5, 4)
    whole[:, keep] = z
    torch.testing.assert_close(small.decode(z), model.decode(whole))
    torch.testing.assert_close(kl_per_dim(small, images()), kl_per_dim(model, images())[keep])
    torch.testing.assert_close(encode(small, images())[0], encode(model, images())[0][:, keep])


def test_dropping_a_latent_without_effect_changes_no_bound_and_no_likelihood():
    likelihood = LikelihoodConfig(name="gaussian", sigma="fixed", sigma_value=1.0)
    model, keep, x = new_model(likelihood=likelihood), torch.tensor([True, True, False, True]), images(4)
    model.decoder.body[0].weight.data[:, 2] = 0
    for head in (model.encoder.mean, model.encoder.log_var):
        head.weight.data[2] = head.bias.data[2] = 0
    model.encoder.log_var.bias.data += 1  # a q(z|x) wide enough for importance sampling
    model.encoder.log_var.bias.data[2] = 0
    small = keep_latents(model, keep)

    def bound(judged):
        return elbo(judged, x, samples=20_000, generator=torch.Generator().manual_seed(0)).elbo

    torch.testing.assert_close(bound(small), bound(model), atol=0.02, rtol=0)
    ours, theirs = (log_likelihood(m, x, 20_000, torch.Generator().manual_seed(0)).value for m in (small, model))
    torch.testing.assert_close(ours, theirs, atol=0.02, rtol=0)


def test_keeping_all_latents_is_a_copy():
    model = new_model()
    copy = keep_latents(model, [True] * 4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copy.parameters(), strict=True))
    copy.decoder.outputs.bias.data += 1
    assert not torch.equal(copy.decoder.outputs.bias, model.decoder.outputs.bias)


def test_an_idle_latent_without_effect_gains_nothing_and_one_that_the_decoder_hears_gains_what_its_noise_costs():
    model, x = new_model(hidden=()), images(500)
    model.encoder.mean.weight.data *= 20  # so that means move with the image
    for head in (model.encoder.mean, model.encoder.log_var):
        head.weight.data[2] = head.bias.data[2] = 0
    model.decoder.outputs.weight.data[:, 2] = 0
    active, gain, error = without_idle(model, x)
    assert active == 3 and abs(gain) < 5 * error
    model.decoder.outputs.weight.data[:, 2] = 3  # pure noise in each logit
    active, gain, error = without_idle(model, x)
    assert active == 3 and gain > 1 and gain > 10 * error


def test_without_idle_latents_there_is_nothing_to_drop():
    model = new_model(hidden=())
    model.encoder.mean.weight.data *= 20
    active, gain, error = without_idle(model, images(50))
    assert active == 4 and np.isnan([gain, error]).all()


# ------------------------------------------------------------------------------------------------------- appearance


def test_variety_is_the_mean_squared_distance_of_two_pictures():
    pictures = np.random.default_rng(0).random((30, 7))
    assert variety(pictures) == pytest.approx(pdist(pictures, "sqeuclidean").mean())


def test_edge_energy_of_a_checkerboard_and_of_stripes():
    board = (np.indices((4, 4)).sum(0) % 2).reshape(1, -1)
    assert edge_energy(board, (4, 4)) == pytest.approx([24 / 4])  # 24 pairs of neighbours, 16 pixels of variance 1/4
    assert edge_energy(np.array([[0.0, 1, 0, 1]]), (1, 4)) == pytest.approx([3.0])


def test_sharpness_ignores_contrast_and_is_nothing_for_one_grey():
    pictures = np.random.default_rng(0).random((3, 30))
    np.testing.assert_allclose(edge_energy(0.2 + 0.1 * pictures, (5, 6)), edge_energy(pictures, (5, 6)))
    np.testing.assert_array_equal(edge_energy(np.full((2, 30), 0.7), (5, 6)), [0, 0])


def test_a_picture_whose_colours_are_one_grey_is_as_sharp_as_that_grey():
    grey = np.random.default_rng(0).random((5, 20, 12))
    colour = np.repeat(grey[..., None], 3, axis=-1).reshape(5, -1)
    np.testing.assert_allclose(edge_energy(colour, (20, 12, 3)), edge_energy(grey.reshape(5, -1), (20, 12)))


def test_blur_lowers_sharpness():
    sharp = np.random.default_rng(0).random((5, 20, 20))
    blurred = (sharp + np.roll(sharp, 1, 1) + np.roll(sharp, 1, 2)).reshape(5, -1) / 3
    assert (edge_energy(blurred, (20, 20)) < 0.8 * edge_energy(sharp.reshape(5, -1), (20, 20))).all()


# ----------------------------------------------------------------------------------------------------------- errors


class Other(StandardNormal):
    pass


def with_another_prior():
    model = new_model()
    model.prior = Other(4)
    return model


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: separation(np.zeros((9, 2)), [0, 1] * 5), ValueError, "inconsistent numbers of samples"),
        (lambda: separation(np.zeros((9, 2)), [0] * 9), ValueError, r"classes have \[9\] points"),
        (lambda: separation(np.zeros((9, 2)), [0] * 6 + [1] * 3), ValueError, "two or more of 5 or more each"),
        (lambda: separation(np.zeros(9), [0] * 9), ValueError, r"points must be \(N, Z\)"),
        (lambda: embed(np.full((9, 2), np.nan)), ValueError, "finite"),
        (lambda: embed(np.zeros((9, 2)), "tnse"), ConfigError, "unknown method 'tnse': did you mean 'tsne'"),
        (lambda: embed(np.zeros((9, 1)), "pca"), ValueError, "n_components=2 must be between 0 and"),
        (lambda: embed(np.zeros((9, 3)), perplexity=9), ValueError, "perplexity .*9.* must be less than n_samples"),
        (lambda: keep_latents(new_model(), [True]), ValueError, "a mask of 4 latents"),
        (lambda: keep_latents(new_model(), [False] * 4), ValueError, "one or more True"),
        (lambda: keep_latents(with_another_prior(), [True] * 4), ValueError, "from the prior Other: only from N"),
        (lambda: variety(np.zeros((1, 4))), ValueError, "2 or more rows"),
        (lambda: edge_energy(np.zeros((3, 4)), (2, 3)), ValueError, "rows of 2 x 3 pixels"),
        (lambda: edge_energy(np.zeros(4), (2, 2)), ValueError, "rows of pixels"),
    ],
)
def test_wrong_input_raises_one_clear_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
