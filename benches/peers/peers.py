"""One function a peer: it samples the posterior of a problem in its own published way and says what came out.

Each returns a dictionary with `simulations` (calls of the forward model, likelihood calls included), `theta` [n, parameters]
and `weight` [n] of the weighted draws, `log_evidence` and its `error` where the peer has them, and `version`.
"""
import importlib.metadata
import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np

# Neural peers: as many simulations in each round as sidereal's own measurements have, and the last round only to be weighed.
ROUNDS = 5
ROUND_SIMULATIONS = 2560
NBI_EPOCHS = 100


class NotInstalled(Exception):
    pass


def needs(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise NotInstalled(package) from None


def weighed(problem, theta, log_proposal, x=None):
    """Importance weights of draws from a density in the parameters' own units; outside the prior nothing is simulated."""
    inside = problem.is_inside(theta)
    log_weight = np.full(len(theta), -np.inf)
    x = problem.simulate(theta[inside]) if x is None else x[inside]
    log_weight[inside] = problem.log_likelihood_of(x) - problem.log_volume - log_proposal[inside]
    log_weight[np.isnan(log_weight)] = -np.inf
    weight = np.exp(log_weight - log_weight.max())
    error = weight.std() / weight.mean() / np.sqrt(len(weight))
    return {"theta": theta, "weight": weight, "log_evidence": log_weight.max() + np.log(weight.mean()), "error": error}


def sidereal(problem, args):
    """The example's campaign file as it stands."""
    campaign = pathlib.Path(__file__).parents[2] / "examples" / problem.name / "campaign.toml"
    with tempfile.TemporaryDirectory() as out:
        command = [args.binary, "fit", str(campaign), "--seed", str(args.seed), "--out", f"{out}/run", "-q", "--device", "cpu"]
        command += ["--threads", str(args.threads), "--workers", str(args.threads)]
        run = subprocess.run(command, stdout=subprocess.DEVNULL)
        if run.returncode not in (0, 3):
            raise RuntimeError(f"sidereal ended with status {run.returncode}")
        import pyarrow.parquet as pq

        summary = json.loads(pathlib.Path(out, "run/summary.json").read_text())
        posterior = pq.read_table(f"{out}/run/posterior.parquet")
    theta = np.stack([posterior[label].to_numpy() for label in problem.labels], axis=1)
    evidence = summary["combined"]["evidence"]
    return {
        "simulations": summary["simulations"], "theta": theta, "weight": posterior["weight"].to_numpy(),
        "log_evidence": evidence["log_evidence"], "error": evidence["error"], "version": "",
        "note": f"status {run.returncode}",
    }


def ultranest(problem, args):
    """Reactive nested sampling, all defaults (400 live points, MLFriends regions), vectorized likelihood."""
    version = needs("ultranest")
    import ultranest

    np.random.seed(args.seed)
    wrapped = [i in problem.periodic for i in range(problem.n_parameters)]
    sampler = ultranest.ReactiveNestedSampler(
        problem.labels, problem.log_likelihood, problem.from_cube, vectorized=True, wrapped_params=wrapped
    )
    result = sampler.run(show_status=False, viz_callback=False)
    draws = result["weighted_samples"]
    return {
        "simulations": problem.n_calls, "theta": draws["points"], "weight": draws["weights"],
        "log_evidence": result["logz"], "error": result["logzerr"], "version": version,
    }


def dynesty(problem, args):
    """Dynamic nested sampling, all defaults (500 live points, multi-ellipsoids, automatic sampling)."""
    version = needs("dynesty")
    import dynesty

    sampler = dynesty.DynamicNestedSampler(
        lambda theta: problem.log_likelihood(theta)[0], problem.from_cube, problem.n_parameters,
        periodic=problem.periodic or None, rstate=np.random.default_rng(args.seed),
    )
    sampler.run_nested(print_progress=False)
    result = sampler.results
    return {
        "simulations": problem.n_calls, "theta": result.samples, "weight": result.importance_weights(),
        "log_evidence": result.logz[-1], "error": result.logzerr[-1], "version": version,
    }


def nautilus(problem, args):
    """All defaults (2,000 live points, 4 networks, n_eff 10,000), vectorized likelihood."""
    version = needs("nautilus-sampler")
    import nautilus

    sampler = nautilus.Sampler(
        problem.from_cube, problem.log_likelihood, n_dim=problem.n_parameters, vectorized=True, pass_dict=False,
        periodic=np.array(problem.periodic) if problem.periodic else None, seed=args.seed,
    )
    sampler.run(verbose=False)
    theta, log_weight, _ = sampler.posterior()
    return {
        "simulations": problem.n_calls, "theta": theta, "weight": np.exp(log_weight - log_weight.max()),
        "log_evidence": sampler.log_z, "error": 1 / np.sqrt(sampler.n_eff), "version": version,
    }


def nbi(problem, args):
    """SNPE-IS with the networks of its sine demonstration (depth of the featurizer by its rule of thumb, 4 Gaussians)."""
    version = needs("nbi")
    import matplotlib
    from scipy.stats import uniform

    matplotlib.use("Agg")
    import nbi as package

    depth = max(3, round(np.log2(len(problem.value)) - 5))
    priors = [uniform(loc=low, scale=high - low) for low, high in zip(problem.low, problem.high)]
    with tempfile.TemporaryDirectory() as path:
        engine = package.NBI(
            flow={"n_dims": problem.n_parameters, "flow_hidden": 64, "num_blocks": 5, "n_mog": 4},
            featurizer={
                "type": "resnet-gru", "norm": "weight_norm", "dim_in": 1, "dim_out": 64, "dim_conv_max": 256, "depth": depth,
            },
            simulator=lambda theta: problem.simulate(theta)[0], priors=priors, labels=problem.labels, device="cpu",
            path=path + "/run", n_jobs=args.threads,
        )
        # Pictures, which are not measured.
        engine._corner_all = lambda: None
        # nbi draws with numpy and torch and seeds both with 0 itself.
        np.random.seed(args.seed)
        engine.fit(
            x_obs=problem.value, n_sims=ROUND_SIMULATIONS, n_rounds=ROUNDS, n_epochs=NBI_EPOCHS, batch_size=64, lr=0.001,
            min_lr=0.001, early_stop_train=False, early_stop_patience=10, noise=problem.sigma, workers=args.threads,
            plot=False,
        )
        theta, weight = engine.result()
    efficiency = ", ".join(f"{100 * n / len(y):.1f}" for n, y in zip(engine.neff, engine.y_all))
    # Draws outside the prior are rejected before they are simulated.
    return {
        "simulations": sum(len(y) for y in engine.y_all), "theta": theta, "weight": weight, "version": version,
        "note": f"efficiency of the rounds {efficiency} %",
    }


def sbi(problem, args):
    """NPE-C (APT, 10 atoms) with its default MAF over a convolutional embedding, 5 rounds; the last flow's draws weighed."""

    def train(inference, prior, x_obs, theta, x, proposal):
        estimator = inference.append_simulations(theta, x, proposal=proposal).train()
        return estimator, inference.build_posterior(estimator).set_default_x(x_obs)

    return sequential_sbi(problem, args, train)


def sbi_truncated(problem, args):
    """The same with truncated proposals (TSNPE, Deistler et al. 2022): the prior where the last flow's density is above its
    quantile of 1e-4, drawn by importance resampling."""

    def train(inference, prior, x_obs, theta, x, proposal):
        from sbi.utils import RestrictedPrior, get_density_thresholder

        estimator = inference.append_simulations(theta, x).train(force_first_round_loss=True)
        posterior = inference.build_posterior(estimator).set_default_x(x_obs)
        accept = get_density_thresholder(posterior, quantile=1e-4)
        return estimator, RestrictedPrior(prior, accept, posterior=posterior, sample_with="sir")

    return sequential_sbi(problem, args, train)


def sequential_sbi(problem, args, train):
    """`train` fits a flow to a round's simulations and returns it and what the next round is drawn from."""
    version = needs("sbi")
    import torch
    from sbi.inference import NPE_C
    from sbi.neural_nets import posterior_nn
    from sbi.neural_nets.embedding_nets import CNNEmbedding
    from sbi.utils import BoxUniform

    # sbi writes logs to the current directory.
    os.chdir(tempfile.mkdtemp())
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    prior = BoxUniform(torch.tensor(problem.low, dtype=torch.float32), torch.tensor(problem.high, dtype=torch.float32))
    embedding = CNNEmbedding(input_shape=(len(problem.value),), output_dim=20)
    inference = NPE_C(prior=prior, density_estimator=posterior_nn("maf", embedding_net=embedding), show_progress_bars=False)
    x_obs = torch.tensor(problem.value, dtype=torch.float32)
    proposal, estimator = None, None
    for _ in range(ROUNDS):
        theta = (proposal or prior).sample((ROUND_SIMULATIONS,))
        x = torch.tensor(problem.noisy(theta.double().numpy(), rng), dtype=torch.float32)
        estimator, proposal = train(inference, prior, x_obs, theta, x, proposal)
    with torch.no_grad():
        theta = estimator.sample((ROUND_SIMULATIONS,), condition=x_obs[None])
        log_proposal = estimator.log_prob(theta, condition=x_obs[None])
    theta, log_proposal = theta[:, 0].double().numpy(), log_proposal[:, 0].double().numpy()
    result = weighed(problem, theta, log_proposal)
    return result | {"simulations": problem.n_calls, "version": version}


def lampe(problem, args):
    """NPE (one round from the prior) with a neural spline flow of 3 transforms over a residual embedding; draws weighed."""
    version = needs("lampe")
    import torch
    from lampe.inference import NPE, NPELoss
    from lampe.nn import ResMLP
    from lampe.utils import GDStep
    from zuko.flows import NSF

    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    theta = problem.prior(ROUNDS * ROUND_SIMULATIONS, rng)
    x = problem.noisy(theta, rng)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    tensor = lambda values: torch.tensor(values, dtype=torch.float32)
    half = 0.5 * (problem.high - problem.low)
    theta = tensor((theta - problem.low) / half - 1)
    x = tensor((x - mean) / sd)

    class Estimator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = ResMLP(x.shape[1], 64, hidden_features=[256] * 2 + [128] * 2, activation=torch.nn.ELU)
            self.npe = NPE(theta.shape[1], 64, build=NSF, transforms=3, hidden_features=[128] * 2, activation=torch.nn.ELU)

        def forward(self, theta, x):
            return self.npe(theta, self.embedding(x))

    estimator = Estimator()
    optimizer = torch.optim.AdamW(estimator.parameters(), lr=1e-3)
    loss, step = NPELoss(estimator), GDStep(optimizer, clip=1.0)
    n_held_out = len(theta) // 10
    best, best_state, since_best = np.inf, None, 0
    while since_best < 20:
        estimator.train()
        for rows in (torch.randperm(len(theta) - n_held_out) + n_held_out).split(256):
            step(loss(theta[rows], x[rows]))
        estimator.eval()
        with torch.no_grad():
            held_out = loss(theta[:n_held_out], x[:n_held_out]).item()
        since_best += 1
        if held_out < best:
            best, since_best = held_out, 0
            best_state = {name: value.clone() for name, value in estimator.state_dict().items()}
    estimator.load_state_dict(best_state)
    with torch.no_grad():
        flow = estimator.npe.flow(estimator.embedding(tensor((problem.value - mean) / sd)))
        draws, log_proposal = flow.rsample_and_log_prob((ROUND_SIMULATIONS,))
    draws = problem.low + (draws.double().numpy() + 1) * half
    result = weighed(problem, draws, log_proposal.double().numpy() - np.log(half).sum())
    return result | {"simulations": problem.n_calls, "version": version}


PEERS = {peer.__name__: peer for peer in (sidereal, nautilus, ultranest, dynesty, sbi, sbi_truncated, lampe, nbi)}
