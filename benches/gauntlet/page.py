#!/usr/bin/env python3
"""One page of result files: what was right, honest, or confident and wrong, and what it cost.

usage: page.py FOLDER... [--html target/gauntlet/page.html] [--print]

FOLDER is a folder of run.py: one of sidereal, of one version, and as many of peers as there are. The page goes into README.md beside this file,
between its two markers, and as one HTML file elsewhere; with --print to standard output alone.
"""
import argparse
import collections
import html
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from run import VERDICTS, is_choice, verdict

BEGIN, END = "<!-- figures of page.py -->\n", "<!-- end of figures -->\n"


def read(folders):
    """Results by sampler; all of a sampler must be of one version and one n_eff asked for."""
    results = collections.defaultdict(list)
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            found = json.loads(path.read_text())
            results[found["sampler"]].append(found)
    for sampler, found in results.items():
        versions = {(one["version"], one["asked"]) for one in found}
        if len(versions) > 1:
            raise SystemExit(f"results of {sampler} are of {sorted(versions)}, expected one version and one n_eff")
    if not results:
        raise SystemExit(f"no results in {', '.join(map(str, folders))}")
    return results


def is_set_aside(found):
    return found["seed"] >= 100 or not is_choice(found["problem"])


def page(results):
    """The page as blocks: ("heading", words), ("text", words), ("table", header, rows), ("list", lines)."""
    ours = results.get("sidereal", [])
    if ours:
        yield "text", f"sidereal, command with digest `{ours[0]['version']}`, n_eff {ours[0]['asked']} asked for."
        yield from totals(ours)
        for title, cases in parts(ours):
            if cases:
                yield "heading", title[0].upper() + title[1:]
                yield "table", *per_problem(cases)
        yield from reasons(ours)
    peers = {sampler: found for sampler, found in results.items() if sampler != "sidereal"}
    if peers:
        yield "heading", "Peers"
        words = "Calls of the likelihood, n_eff, log evidence against the known one (medians over seeds)"
        yield "text", f"{words}, and how many runs were right, whatever they cost."
        yield "table", *beside_peers(ours, peers)
        yield from frugality(ours, peers)
        yield from wrong_ones(peers)


def parts(ours):
    return [("set aside", [one for one in ours if is_set_aside(one)]), ("choices", [one for one in ours if not is_set_aside(one)])]


def totals(ours):
    rows = []
    for name in VERDICTS:
        row = [f"**{VERDICTS[name]}**" if name == "CONFIDENT AND WRONG" else VERDICTS[name]]
        for _, cases in parts(ours):
            n = sum(verdict(one) == name for one in cases)
            row.append(f"{n} ({100 * n / len(cases):.0f} %)" if cases else "0")
        rows.append(row)
    counts = [f"{words}: {len({one['problem'] for one in cases})} problems, {len(cases)} runs" for words, cases in parts(ours)]
    yield "table", ["", *counts], rows


def per_problem(cases):
    header = ["problem", "parameters", "seeds", "right", "simulations", "n_eff", "k̂", "shift", "ratio", "gap", "known figures, errors"]
    header += ["log evidence off by", "status 3", "seconds"]
    rows = []
    for name, found in grouped(cases):
        done = [one for one in found if one["status"] != "failed"]
        verdicts = collections.Counter(verdict(one) for one in found)
        right = f"{verdicts['right']} of {len(found)}"
        others = [f"{n} {VERDICTS[words]}" for words, n in verdicts.items() if words not in ("right", "honest")]
        row = [name, found[0]["dimensions"], spans([one["seed"] for one in found]), ", ".join([right, *others])]
        row += [spread(done, "calls", "{:.0f}"), spread(done, "n_eff", "{:.0f}"), spread(done, "pareto_k", "{:.2f}")]
        row += [farthest(done, "shift", "{:+.2f}", abs), farthest(done, "ratio", "{:.2f}", lambda ratio: abs(ratio - 1))]
        row += [farthest(done, "gap", "{:.3f}", abs), farthest(done, "worst_z", "{:+.1f}", abs)]
        evidence = spread(done, "evidence_off", "{:+.3f}")
        row += [evidence and f"{evidence} ± {middle(done, 'error', '{:.3f}')}", verdicts["honest"] or "", spread(done, "seconds", "{:.0f}")]
        rows.append(row)
    return header, rows


def beside_peers(ours, peers):
    everyone = ({"sidereal": ours} if ours else {}) | peers
    header = ["problem"]
    for sampler, found in everyone.items():
        version = "" if sampler == "sidereal" else f" {found[0]['version']}"
        header += [f"{sampler}{version}: calls", "n_eff", "evidence", "right"]
    names = sorted({one["problem"] for found in peers.values() for one in found})
    rows = []
    for name in names:
        row = [name]
        for found in everyone.values():
            of_it = [one for one in found if one["problem"] == name]
            done = [one for one in of_it if one["status"] != "failed"]
            row += [middle(done, "calls", "{:.0f}"), middle(done, "n_eff", "{:.0f}"), middle(done, "evidence_off", "{:+.3f}")]
            row.append(f"{sum(verdict(one) == 'right' for one in of_it)} of {len(of_it)}" if of_it else "")
        rows.append(row)
    return header, rows


def frugality(ours, peers):
    """On how many problems that both get right sidereal takes at most half of a peer's calls."""
    for sampler, found in peers.items():
        ratios = []
        for name, of_it in grouped(found):
            theirs, own = ([one for one in some if verdict(one) == "right" and one["problem"] == name] for some in (of_it, ours))
            if theirs and own and own[0]["dimensions"] <= 13:
                ratios.append(statistics.median(values(own, "calls")) / statistics.median(values(theirs, "calls")))
        if ratios:
            n = sum(ratio <= 0.5 for ratio in ratios)
            words = f"{n} of {len(ratios)} problems with up to 13 parameters that both get right"
            yield "text", f"sidereal takes at most half of the calls of {sampler} on {words}; the median ratio is {statistics.median(ratios):.2f}."


def reasons(ours):
    """What was not right, case by case."""
    for name, words in VERDICTS.items():
        cases = [one for one in ours if verdict(one) == name]
        if name != "right" and cases:
            yield "heading", words[0].upper() + words[1:]
            yield "list", [f"{one['problem']}, seed {one['seed']}: {why(one)}" for one in cases]


def wrong_ones(peers):
    cases = [one for found in peers.values() for one in found if verdict(one) not in ("right", "few draws")]
    if cases:
        yield "text", "Not right:"
        yield "list", [f"{one['sampler']}, {one['problem']}, seed {one['seed']}: {why(one)}" for one in cases]


def why(found):
    match verdict(found):
        case "failed":
            return found["failure"].strip().splitlines()[-1]
        case "honest":
            return "; ".join(found["reasons"])
        case "CONFIDENT AND WRONG":
            return "; ".join(found["wrong"])
        case "over budget":
            return f"{found['calls']} simulations where {found['budget']} are allowed"
        case "few draws":
            return f"n_eff {found['n_eff']:.0f} of {found['calls']} simulations"


def grouped(cases):
    by_name = collections.defaultdict(list)
    for one in cases:
        by_name[one["problem"]].append(one)
    return [(name, sorted(found, key=lambda one: one["seed"])) for name, found in sorted(by_name.items())]


def spans(seeds):
    """0, 1, 2, 5 as 0-2, 5."""
    groups = []
    for seed in sorted(seeds):
        if groups and groups[-1][1] == seed - 1:
            groups[-1][1] = seed
        else:
            groups.append([seed, seed])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in groups)


def values(found, key):
    return [one[key] for one in found if one.get(key) is not None]


def middle(found, key, form):
    some = values(found, key)
    return form.format(statistics.median(some)) if some else ""


def spread(found, key, form):
    some = values(found, key)
    if len(some) < 2:
        return middle(found, key, form)
    return f"{middle(found, key, form)} ({form.format(min(some))} to {form.format(max(some))})"


def farthest(found, key, form, distance):
    some = values(found, key)
    return form.format(max(some, key=distance)) if some else ""


def as_markdown(blocks):
    lines = []
    for kind, *of in blocks:
        match kind:
            case "heading":
                lines += [f"### {of[0]}", ""]
            case "text":
                lines += [of[0], ""]
            case "list":
                lines += [f"- {line}" for line in of[0]] + [""]
            case "table":
                header, rows = of
                lines += ["| " + " | ".join(map(str, cells)) + " |" for cells in (header, ["---"] * len(header), *rows)] + [""]
    return "\n".join(lines)


STYLE = """body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 110em; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border-bottom: 1px solid #ccc; padding: .2em .6em; text-align: right; vertical-align: top }
th { background: #f4f4f4 } td:first-child, th:first-child { text-align: left; white-space: nowrap }"""


def as_html(blocks):
    body = []
    for kind, *of in blocks:
        match kind:
            case "heading":
                body.append(f"<h2>{plain(of[0])}</h2>")
            case "text":
                body.append(f"<p>{plain(of[0])}</p>")
            case "list":
                body.append("<ul>" + "".join(f"<li>{plain(line)}</li>" for line in of[0]) + "</ul>")
            case "table":
                header, rows = of
                head = "".join(f"<th>{plain(cell)}</th>" for cell in header)
                rest = "".join("<tr>" + "".join(f"<td>{plain(cell)}</td>" for cell in row) + "</tr>" for row in rows)
                body.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rest}</tbody></table>")
    title = "The gauntlet of sidereal"
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{title}</h1>{"".join(body)}</body></html>\n'


def plain(cell):
    return html.escape(str(cell)).replace("**", "").replace("`", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--html", type=pathlib.Path, default=HERE.parents[1] / "target/gauntlet/page.html")
    parser.add_argument("--print", action="store_true")
    args = parser.parse_args()
    blocks = list(page(read(args.folders)))
    if args.print:
        print(as_markdown(blocks))
        return
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{as_markdown(blocks)}\n{END}{after}")
    args.html.parent.mkdir(parents=True, exist_ok=True)
    args.html.write_text(as_html(blocks))


if __name__ == "__main__":
    main()
