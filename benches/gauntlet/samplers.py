"""One function a sampler: it samples a problem and gives draws, weights, evidence, calls and what it says of itself."""
import importlib.metadata
import hashlib
import os
import pathlib
import subprocess
import warnings

import numpy as np


def counted(problem):
    """Prior transform and log-likelihood for peers, which take points one by one or many; calls are counted."""
    calls = [0]

    def log_likelihood(theta):
        theta = np.atleast_2d(theta)
        calls[0] += len(theta)
        value = problem.log_likelihood(theta)
        return np.where(np.isnan(value), -1e300, np.maximum(value, -1e300))

    return log_likelihood, calls


def priors_of(problem):
    """Priors that sidereal has, else a transform of the unit cube."""
    import sidereal_inference as si

    from sidereal_inference._priors import as_priors

    try:
        return {"priors": as_priors(problem.priors, None)}
    except si.SiderealError:
        return {"prior_transform": problem.from_cube, "names": list(problem.priors)}


def sidereal(problem, seed, args, folder):
    run = of_likelihood if problem.campaign is None else of_campaign
    result = run(problem, seed, args, folder)
    theta = np.column_stack([np.asarray(result.posterior[name]) for name in problem.priors])
    return {
        "theta": theta, "weight": result.weights, "log_evidence": result.log_evidence,
        "error": result.log_evidence_error, "n_eff": result.n_eff, "pareto_k": result.pareto_k, "calls": result.simulations,
        "budget": problem.budget, "status": result.status, "reasons": result.reasons,
    }


def of_likelihood(problem, seed, args, folder):
    import sidereal_inference as si

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", si.NotToBeTrusted)
        return si.sample(
            problem.log_likelihood, **priors_of(problem), periodic=problem.periodic, n_eff=args.n_eff, simulations=problem.budget,
            vectorized=256, seed=seed, dir=folder, workers=args.workers, progress=False,
        )


def of_campaign(problem, seed, args, folder):
    """By the command, so that the built-in model is what is tried."""
    import sidereal_inference as si

    folder.mkdir(parents=True)
    stop = f"[rounds]\nstop = {{ n_eff = {args.n_eff}, simulations = {problem.budget} }}\n"
    training = "[training]\nsurrogate = true\n" if args.surrogate else ""
    (folder / "campaign.toml").write_text(problem.campaign + training + stop)
    command = [os.environ["SIDEREAL_BINARY"], "fit", str(folder / "campaign.toml"), "--out", str(folder / "run"), "--seed", str(seed), "--quiet"]
    done = subprocess.run(command + ["--workers", str(args.workers), "--device", "cpu"], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"sidereal ended with status {done.returncode}: {done.stderr.strip()}")
    result = si.load(folder)
    if (result.status == "ok") != (done.returncode == 0):
        raise RuntimeError(f"sidereal ended with status {done.returncode} where its summary says {result.status}")
    assert_same_model(problem, result.posterior)
    return result


def assert_same_model(problem, posterior):
    """The built-in model gives the log-likelihoods that peers are given."""
    theta, found = (np.column_stack([np.asarray(posterior[name])[:2_000] for name in names]) for names in (problem.priors, ["log_likelihood"]))
    expected = problem.log_likelihood(theta)
    off = np.abs(found[:, 0] - expected) / np.maximum(1, np.abs(expected))
    if not off.max() <= 1e-6:
        raise RuntimeError(f"log-likelihoods of the built-in model and of Python are {off.max():.1e} of them apart")


def nautilus(problem, seed, args, folder):
    import nautilus

    log_likelihood, calls = counted(problem)
    names = list(problem.priors)
    sampler = nautilus.Sampler(
        problem.from_cube, log_likelihood, n_dim=len(names), vectorized=True, pass_dict=False, seed=seed,
        periodic=np.array([names.index(name) for name in problem.periodic]) if problem.periodic else None,
    )
    sampler.run(verbose=False, n_eff=args.n_eff)
    theta, log_weight, _ = sampler.posterior()
    weight = np.exp(log_weight - log_weight.max())
    return peer(theta, weight, sampler.log_z, 1 / np.sqrt(sampler.n_eff), sampler.n_eff, calls)


def ultranest(problem, seed, args, folder):
    import ultranest

    log_likelihood, calls = counted(problem)
    np.random.seed(seed)
    wrapped = [name in problem.periodic for name in problem.priors]
    sampler = ultranest.ReactiveNestedSampler(list(problem.priors), log_likelihood, problem.from_cube, vectorized=True, wrapped_params=wrapped)
    result = sampler.run(show_status=False, viz_callback=False, min_ess=args.n_eff)
    draws = result["weighted_samples"]
    weight = np.asarray(draws["weights"])
    return peer(draws["points"], weight, result["logz"], result["logzerr"], result["ess"], calls)


def dynesty(problem, seed, args, folder):
    import dynesty

    log_likelihood, calls = counted(problem)
    names = list(problem.priors)
    sampler = dynesty.DynamicNestedSampler(
        lambda theta: log_likelihood(theta)[0], problem.from_cube, len(names), rstate=np.random.default_rng(seed),
        periodic=[names.index(name) for name in problem.periodic] or None,
    )
    sampler.run_nested(print_progress=False, n_effective=args.n_eff)
    result = sampler.results
    weight = result.importance_weights()
    n_eff = weight.sum() ** 2 / (weight**2).sum()
    return peer(result.samples, weight, result.logz[-1], result.logzerr[-1], n_eff, calls)


def peer(theta, weight, log_evidence, error, n_eff, calls):
    return {
        "theta": np.asarray(theta), "weight": np.asarray(weight), "log_evidence": float(log_evidence), "error": float(error),
        "n_eff": float(n_eff), "pareto_k": None, "calls": calls[0], "status": "finished", "reasons": [],
    }


SAMPLERS = {function.__name__: function for function in (sidereal, nautilus, ultranest, dynesty)}


def methods_hash(sampler):
    """What results are keyed by: of sidereal its command's digest, of a peer its version."""
    if sampler != "sidereal":
        package = {"nautilus": "nautilus-sampler"}.get(sampler, sampler)
        return importlib.metadata.version(package)
    binary = os.environ.get("SIDEREAL_BINARY")
    if binary is None:
        raise SystemExit("SIDEREAL_BINARY is not set: it names the command to try, such as target/release/sidereal")
    return hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()[:12]
