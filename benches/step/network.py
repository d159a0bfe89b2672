#!/usr/bin/env python3
"""The network of the step benchmark in PyTorch: featurizer `resnet-gru` (or `resnet`, or none) and a MAF.

Reads one JSON object a line from standard input and answers each with one:
{"hello": true} is answered with PyTorch's version and its GPU;
{"build": {...}} makes a network and its optimizer and answers with the number of parameters;
{"steps": n} trains for n steps and answers with the wall and CPU seconds they took.

pip install torch
"""

import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


def conv3(n_in, n_out):
    return weight_norm(nn.Conv1d(n_in, n_out, 3, padding=1), dim=0)


class Stage(nn.Module):
    def __init__(self, width, wider):
        super().__init__()
        self.first = conv3(width, width)
        self.second = conv3(width, width)
        self.pool = nn.Conv1d(width, wider, 2, stride=2)

    def forward(self, x):
        inner = self.second(F.relu(self.first(F.relu(x))))
        x = x + inner
        if x.shape[2] % 2:
            x = F.pad(x, (0, 1), mode="replicate")
        return self.pool(x)


class Tower(nn.Module):
    """Convolutions of [n, channels, length], halved in length after each stage."""

    def __init__(self, length, channels, width, stages):
        super().__init__()
        self.patch = 1 << max(0, math.ceil(math.log2(math.ceil(length / 128))))
        if self.patch == 1:
            self.stem = conv3(channels, width)
        else:
            self.stem = nn.Conv1d(channels, width, self.patch, stride=self.patch)
        self.length_out = math.ceil(length / self.patch)
        self.stages = nn.ModuleList()
        first = width
        for _ in range(stages):
            wider = min(2 * width, 4 * first)
            self.stages.append(Stage(width, wider))
            width = wider
            self.length_out = math.ceil(self.length_out / 2)
        self.channels_out = width

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return F.relu(x)


class ResnetGru(nn.Module):
    def __init__(self, length, channels, width, stages, hidden, features):
        super().__init__()
        self.tower = Tower(length, channels, width, stages)
        self.gru = nn.GRU(self.tower.channels_out, hidden, batch_first=True)
        self.output = nn.Linear(hidden, features)

    def forward(self, x):
        _, state = self.gru(self.tower(x).transpose(1, 2))
        return self.output(state[0])


class Resnet(nn.Module):
    def __init__(self, length, channels, width, stages, features):
        super().__init__()
        self.tower = Tower(length, channels, width, stages)
        self.output = nn.Linear(self.tower.channels_out * self.tower.length_out, features)

    def forward(self, x):
        return self.output(self.tower(x).flatten(1))


class Made(nn.Module):
    def __init__(self, order, features, hidden, layers, n_outputs):
        super().__init__()
        d = len(order)
        rank = torch.empty(d, dtype=torch.long)
        rank[torch.tensor(order)] = torch.arange(d)
        degree = torch.arange(hidden) % d
        out = rank.repeat(n_outputs)
        self.register_buffer("input_mask", (rank[None, :] < degree[:, None]).float())
        self.register_buffer("hidden_mask", (degree[None, :] <= degree[:, None]).float())
        self.register_buffer("output_mask", (degree[None, :] <= out[:, None]).float())
        self.input = nn.Linear(d, hidden)
        self.context = nn.Linear(features, hidden)
        self.hidden = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers - 1))
        self.output = nn.Linear(hidden, n_outputs * d)
        with torch.no_grad():
            self.output.weight *= 0.05

    def forward(self, y, features):
        state = F.relu(
            F.linear(y, self.input.weight * self.input_mask, self.input.bias)
            + self.context(features)
        )
        for layer in self.hidden:
            state = state + F.relu(F.linear(state, layer.weight * self.hidden_mask, layer.bias))
        return F.linear(state, self.output.weight * self.output_mask, self.output.bias)


class Maf(nn.Module):
    def __init__(self, d, features, blocks, hidden, layers, components, max_log_scale):
        super().__init__()

        def order(block):
            rotated = [(i + block // 2) % d for i in range(d)]
            return rotated if block % 2 == 0 else rotated[::-1]

        self.bound = max_log_scale
        self.components = components
        self.blocks = nn.ModuleList(
            Made(order(block), features, hidden, layers, 2) for block in range(blocks)
        )
        self.base = Made(order(blocks), features, hidden, layers, 3 * components)
        if components > 1:
            spread = torch.linspace(-1, 1, components).repeat_interleave(d)
            with torch.no_grad():
                self.base.output.bias[components * d : 2 * components * d] = spread

    def bounded(self, value):
        return torch.tanh(value / self.bound) * self.bound

    def log_density(self, y, features):
        log_determinant = 0.0
        for block in self.blocks:
            shift, raw = block(y, features).chunk(2, dim=1)
            log_scale = self.bounded(raw)
            y = (y - shift) * torch.exp(-log_scale)
            log_determinant = log_determinant - log_scale.sum(1)
        n, d = y.shape
        logit, mean, raw = self.base(y, features).reshape(n, 3, self.components, d).unbind(1)
        log_scale = self.bounded(raw)
        deviation = (y[:, None] - mean) * torch.exp(-log_scale)
        terms = (
            F.log_softmax(logit, 1) - log_scale - 0.5 * deviation**2 - 0.5 * math.log(2 * math.pi)
        )
        return torch.logsumexp(terms, 1).sum(1) + log_determinant


class Estimator(nn.Module):
    def __init__(self, case):
        super().__init__()
        d, features = case["parameters"], case["features"]
        self.kind = case["kind"]
        sizes = (case["length"], 1, case["channels"], case["stages"])
        if self.kind == "resnet-gru":
            self.featurizer = ResnetGru(*sizes, case["hidden"], features)
        elif self.kind == "resnet":
            self.featurizer = Resnet(*sizes, features)
        else:
            features = 1
        flow = case["flow"]
        self.flow = Maf(
            d, features, flow["blocks"], flow["hidden"], flow["layers"], flow["components"], flow["max_log_scale"]
        )

    def log_density(self, y, x):
        if self.kind == "none":
            return self.flow.log_density(y, torch.ones(len(y), 1, device=y.device))
        return self.flow.log_density(y, self.featurizer(x))

    def n_parameters(self):
        """As sidereal counts them: PyTorch's GRU has the same two biases."""
        return sum(parameter.numel() for parameter in self.parameters())


class Training:
    """Rows without noise in memory; each step adds noise, standardizes and takes one step of Adam."""

    def __init__(self, case):
        torch.manual_seed(0)
        torch.set_num_threads(case["threads"])
        torch.set_flush_denormal(True)
        self.device = torch.device(case["device"])
        self.batch = case["batch"]
        self.noisy = case["kind"] != "none"
        rows = case["batch"] * 4
        self.y = torch.randn(rows, case["parameters"], device=self.device)
        self.x = torch.randn(rows, case["length"], device=self.device)
        self.network = Estimator(case).to(self.device)
        self.parameters = list(self.network.parameters())
        self.adam = torch.optim.Adam(self.parameters, lr=1e-3, foreach=True)

    def step(self, batch):
        y, x = self.y[batch], None
        if self.noisy:
            sigma = 0.3
            x = self.x[batch]
            x = x + sigma * torch.randn_like(x)
            tamed = torch.where(
                x.abs() <= 3, x, x.sign() * (3 + torch.log1p((x.abs() - 3).clamp_min(0)))
            )
            x = tamed[:, None]
        loss = -self.network.log_density(y, x).mean()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.adam.step()
        return loss

    def run(self, n_steps):
        started = time.perf_counter(), time.process_time()
        order = torch.randperm(len(self.y), device=self.device)
        for step in range(n_steps):
            start = step * self.batch % len(self.y)
            loss = self.step(order[start : start + self.batch])
        loss.item()
        return {
            "seconds": time.perf_counter() - started[0],
            "cpu_seconds": time.process_time() - started[1],
        }


def main():
    training = None
    for line in sys.stdin:
        request = json.loads(line)
        if "build" in request:
            training = Training(request["build"])
            answer = {"parameters": training.network.n_parameters()}
        elif "steps" in request:
            answer = training.run(request["steps"])
        else:
            gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
            answer = {"version": torch.__version__, "gpu": gpu}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
