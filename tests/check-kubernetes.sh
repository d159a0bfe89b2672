#!/usr/bin/env bash
# Checks deploy/kubernetes: every manifest against the published Kubernetes schemas, strictly; the kustomizations against
# the files beside them; what `kubectl kustomize` makes of them (where there is kubectl), the README's example included;
# and rules of ours that no schema knows.
# Needs Python 3 and, on the first run, PyPI. Without them it fails in CI and is skipped elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

# The oldest version that README.md promises, and the newest that the package below has schemas of.
versions=(1.27.0 1.37.0)
requirements=(kubernetes-validate==1.37.0 PyYAML==6.0.4)
cache=target/check-kubernetes
venv=$cache/venv

unavailable() {
  if [ -n "${CI:-}" ]; then
    echo "check-kubernetes: failed: $1" >&2
    exit 1
  fi
  echo "check-kubernetes: skipped: $1"
  exit 0
}

command -v python3 >/dev/null || unavailable "no python3"
if [ "$(cat "$venv/requirements" 2>/dev/null)" != "${requirements[*]}" ]; then
  rm -rf "$venv"
  mkdir -p "$cache"
  python3 -m venv "$venv" || unavailable "python3 cannot make a virtual environment"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${requirements[@]}" ||
    unavailable "pip could not install ${requirements[*]}"
  echo "${requirements[*]}" >"$venv/requirements"
fi

rendered=$cache/rendered
rm -rf "$rendered" "$cache/tree"
mkdir -p "$rendered"
if command -v kubectl >/dev/null; then
  for kustomization in deploy/kubernetes deploy/kubernetes/overlays/*; do
    name=$(basename "$kustomization")
    kubectl kustomize "$kustomization" >"$rendered/$name.yaml"
  done
  # The README's example as it stands and with both components, beside a copy of what it names.
  mkdir -p "$cache/tree/deploy" "$cache/tree/my-campaign"
  cp -r deploy/kubernetes "$cache/tree/deploy/"
  cp deploy/kubernetes/base/campaign/* "$cache/tree/my-campaign/"
  # shellcheck disable=SC2016
  sed -n '/^```yaml$/,/^```$/p' deploy/kubernetes/README.md | sed '/^```/d' >"$cache/tree/my-campaign/kustomization.yaml"
  kubectl kustomize "$cache/tree/my-campaign" >"$rendered/README-example.yaml"
  sed -i 's/^# \(components:\|  - \)/\1/' "$cache/tree/my-campaign/kustomization.yaml"
  kubectl kustomize "$cache/tree/my-campaign" >"$rendered/README-example-components.yaml"
else
  echo "no kubectl: kustomizations are not rendered, and patches not checked"
fi

"$venv/bin/python" - deploy/kubernetes "$rendered" "${versions[@]}" <<'PYTHON'
import copy
import sys
from pathlib import Path

import kubernetes_validate
import yaml

root, rendered, versions = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
problems = []
GRACE = "--grace"


def documents(path):
    with open(path) as file:
        return [document for document in yaml.safe_load_all(file) if document is not None]


def schema_errors(manifest, version):
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(key) for key in error.path)
        return [f"{where or 'manifest'}: {error.message} (Kubernetes {version})"]
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
        return [f"{error} (Kubernetes {version})"]
    return []


def pod_of(manifest):
    """The pod's specification in a manifest, or None."""
    if manifest["kind"] == "Pod":
        return manifest["spec"]
    return manifest.get("spec", {}).get("template", {}).get("spec")


def rule_errors(manifest):
    """Rules of ours, for one manifest."""
    errors = []

    def rule(holds, text):
        if not holds:
            errors.append(text)

    rule("namespace" not in manifest["metadata"], "names a namespace")
    pod = pod_of(manifest)
    if pod is None:
        return errors
    security = pod.get("securityContext", {})
    rule(security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0, "does not run as a user other than root")
    rule(security.get("seccompProfile") == {"type": "RuntimeDefault"}, "has no seccomp profile")
    rule(pod.get("automountServiceAccountToken") is False, "mounts a service account token")
    rule(pod.get("enableServiceLinks") is False, "gets variables of Services, which begin with SIDEREAL_")
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"] + pod.get("initContainers", []):
        name = container["name"]
        security = container.get("securityContext", {})
        rule(security.get("readOnlyRootFilesystem") is True, f"{name}: root file system can be written to")
        rule(security.get("allowPrivilegeEscalation") is False, f"{name}: may gain privileges")
        rule(security.get("capabilities") == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
        tag = container["image"].rpartition("/")[2].partition("@")[0].partition(":")[2]
        rule(tag not in ("", "latest"), f"{name}: image {container['image']} has no fixed tag")
        for kind in ("requests", "limits"):
            missing = {"cpu", "memory"} - set(container.get("resources", {}).get(kind, {}))
            rule(not missing, f"{name}: no {kind} of {sorted(missing)}")
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        rule(mounts <= volumes, f"{name}: mounts {sorted(mounts - volumes)}, which are no volumes")
        arguments = container.get("args", [])
        rule(all(type(argument) is str for argument in arguments), f"{name}: arguments that are not strings")
        verb = arguments[0] if arguments else None
        if verb in ("worker", "trainer"):
            grace = int(arguments[arguments.index(GRACE) + 1]) if GRACE in arguments else None
            rule(grace is not None, f"{name}: no {GRACE}")
            period = pod.get("terminationGracePeriodSeconds", 30)
            rule(grace is None or period > grace, f"{name}: ends after {period} s, and {GRACE} is {grace}")
            keys = {item["key"] for volume in pod["volumes"] for item in volume.get("secret", {}).get("items", [])}
            rule(keys == {"access.json"}, f"{name}: sees more of the access Secret than access.json")
        if verb == "coordinator":
            rule(manifest["kind"] == "StatefulSet" and manifest["spec"]["replicas"] == 1, "is not one replica of a StatefulSet")
            rule("--linger" in arguments, f"{name}: no --linger, so it would be restarted for ever after the campaign")
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                rule(container.get(probe, {}).get("grpc", {}).get("port") == 7444, f"{name}: no gRPC {probe} of port 7444")
    return errors


def set_errors(manifests):
    """Rules of ours, for all manifests of one rendered kustomization together."""
    errors = []
    by_kind = {}
    for manifest in manifests:
        by_kind.setdefault(manifest["kind"], []).append(manifest)
    names = {kind: {manifest["metadata"]["name"] for manifest in group} for kind, group in by_kind.items()}
    given = {"sidereal-access", "sidereal-s3"}  # made by the user
    for manifest in manifests:
        pod = pod_of(manifest)
        if pod is None:
            continue
        where = f"{manifest['kind']} {manifest['metadata']['name']}"
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        if not manifest["spec"]["selector"]["matchLabels"].items() <= labels.items():
            errors.append(f"{where}: its selector does not select its pods")
        if pod["serviceAccountName"] not in names["ServiceAccount"]:
            errors.append(f"{where}: no ServiceAccount {pod['serviceAccountName']}")
        for volume in pod["volumes"]:
            for kind, source, key in (
                ("ConfigMap", "configMap", "name"),
                ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"),
            ):
                if source in volume and volume[source][key] not in names.get(kind, set()):
                    errors.append(f"{where}: no {kind} {volume[source][key]}")
            if "secret" in volume and volume["secret"]["secretName"] not in given:
                errors.append(f"{where}: no Secret {volume['secret']['secretName']}")
        for source in (source for container in pod["containers"] for source in container.get("envFrom", [])):
            if "configMapRef" in source and source["configMapRef"]["name"] not in names["ConfigMap"]:
                errors.append(f"{where}: no ConfigMap {source['configMapRef']['name']}")
            if "secretRef" in source and source["secretRef"]["name"] not in given:
                errors.append(f"{where}: no Secret {source['secretRef']['name']}")
    [coordinator] = by_kind["StatefulSet"]
    [container] = pod_of(coordinator)["containers"]
    advertised = container["args"][container["args"].index("--advertise") + 1]
    [service] = by_kind["Service"]
    if advertised != f"{service['metadata']['name']}:{service['spec']['ports'][0]['port']}":
        errors.append(f"--advertise {advertised} is not the Service's address")
    if not service["spec"]["selector"].items() <= coordinator["spec"]["template"]["metadata"]["labels"].items():
        errors.append("the Service does not select the coordinator")
    for deployment in by_kind["Deployment"]:
        [container] = pod_of(deployment)["containers"]
        threads = container["args"][container["args"].index("--threads") + 1]
        requested = container["resources"]["requests"]["cpu"]
        if requested != threads:
            errors.append(f"{container['name']}: --threads {threads}, but {requested} CPUs requested")
    return errors


def check(path, manifests, rules):
    for manifest in manifests:
        where = f"{path}: {manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
        for version in versions:
            problems.extend(f"{where}: {error}" for error in schema_errors(manifest, version))
        problems.extend(f"{where}: {error}" for error in rules(manifest))
    print(f"  {path}: {len(manifests)} manifests")


# That the schemas refuse what is not in them, and the rules what they are about, is tried on the manifests themselves.
def check_the_check():
    [deployment, _] = documents(root / "base/worker.yaml")
    spec = ("spec", "template", "spec")
    container = spec + ("containers", 0)
    for path, value, checker in (
        (spec + ("terminationGracePeriod",), 90, lambda m: schema_errors(m, versions[0])),
        (container + ("resource",), {}, lambda m: schema_errors(m, versions[-1])),
        (("spec", "replicas"), "four", lambda m: schema_errors(m, versions[-1])),
        (spec + ("terminationGracePeriodSeconds",), 60, rule_errors),
        (spec + ("securityContext", "runAsUser"), 0, rule_errors),
        (container + ("image",), "sidereal:latest", rule_errors),
        (container + ("resources", "requests"), {}, rule_errors),
    ):
        broken = copy.deepcopy(deployment)
        place = broken
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        if len(checker(broken)) == 0:
            problems.append(f"a worker with {'.'.join(map(str, path))} = {value!r} was not refused")
    print("  a manifest with an unknown field, a wrong type or a broken rule is refused")


print(f"manifests, strictly against Kubernetes {' and '.join(versions)}:")
check_the_check()
for directory in sorted({path.parent for path in root.rglob("*.yaml")}):
    files = {path.name for path in directory.glob("*.yaml")}
    if "kustomization.yaml" in files:
        [kustomization] = documents(directory / "kustomization.yaml")
        patches = {patch["path"] for patch in kustomization.get("patches", [])}
        resources = {name for name in kustomization.get("resources", []) if name.endswith(".yaml")}
        listed = {"kustomization.yaml"} | patches | resources
        for name in sorted(files - listed):
            problems.append(f"{directory}/kustomization.yaml: does not list {name}")
        for name in sorted(listed - files):
            problems.append(f"{directory}/kustomization.yaml: lists {name}, which does not exist")
        for name in kustomization.get("resources", []) + kustomization.get("components", []):
            if not name.endswith(".yaml") and not (directory / name / "kustomization.yaml").exists():
                problems.append(f"{directory}/kustomization.yaml: no kustomization in {name}")
        generated = [f for g in kustomization.get("configMapGenerator", []) for f in g.get("files", [])]
        for name in generated:
            if not (directory / name).exists():
                problems.append(f"{directory}/kustomization.yaml: lists {name}, which does not exist")
        print(f"  {directory}/kustomization.yaml: {len(resources)} manifests, {len(patches)} patches, all that there are")
        files &= resources
    for name in sorted(files):
        check(directory / name, documents(directory / name), rule_errors)

paths = sorted(rendered.glob("*.yaml"))
if paths:
    print("rendered by kubectl kustomize:")
for path in paths:
    manifests = documents(path)
    if path.stem.startswith("README"):  # the user's own kustomization names the namespace
        for manifest in manifests:
            del manifest["metadata"]["namespace"]
    check(path, manifests, rule_errors)
    problems.extend(f"{path}: {error}" for error in set_errors(manifests))

sample, example = root / "base/campaign", Path("examples/sine")
for path in sorted(sample.iterdir()):
    if path.read_bytes() != (example / path.name).read_bytes():
        problems.append(f"{path} is not the same as {example / path.name}")
print(f"{sample} is a copy of {example}")

if problems:
    print("\n".join(problems), file=sys.stderr)
    sys.exit(f"check-kubernetes: {len(problems)} problems")
print("check-kubernetes: all good")
PYTHON
