"""Times the same work with other libraries: reads the inputs and results that `statespace bench --peers` wrote, runs what
is installed (mamba_ssm, causal_conv1d, PyTorch), compares the results, and prints one JSON object per line.

    python peers.py FOLDER [--device cuda] [--quick]

FOLDER holds job.json ({"kernel", "dtype", "state", ...}), inputs.safetensors and outputs.safetensors. Nothing but torch is
needed; what is missing is said in a line {"peer", "missing"}.
"""

import argparse
import importlib
import json
import struct
import sys
import time
from pathlib import Path

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(json.dumps({"peer": "torch", "missing": str(error)}))
    sys.exit(0)

ROTATED_BYTES = 256 << 20
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I32": torch.int32}


def load(path, device):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = bytearray(data[8 + length :])
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        dtype = TYPES[info["dtype"]]
        flat = torch.frombuffer(body, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=begin)
        tensors[name] = flat.reshape(info["shape"]).clone().to(device)
    return tensors


def optional(module):
    """The module, or why there is none: a broken installation fails in many ways."""
    try:
        return importlib.import_module(module), None
    except Exception as error:  # noqa: BLE001
        return None, f"{type(error).__name__}: {error}"


# Each peer of a kernel is (name, module it needs or None, prepare). prepare(inputs) returns (run, names): run() gives
# results in the order of `names`, which are those of our own outputs, in our layout. Layouts are changed while preparing.


def scan_plain(u, delta, z, A, B, C, D, bias):
    """Mamba, section 3.2: a loop over time in PyTorch."""
    step = F.softplus(delta.float() + bias)
    x, Bf, Cf = u.float(), B.squeeze(2).float(), C.squeeze(2).float()
    h = torch.zeros(u.shape[0], u.shape[2], A.shape[1], device=u.device)
    ys = []
    for t in range(u.shape[1]):
        h = torch.exp(step[:, t, :, None] * A) * h + (step[:, t] * x[:, t])[:, :, None] * Bf[:, t, None, :]
        ys.append((h * Cf[:, t, None, :]).sum(-1))
    y = torch.stack(ys, 1) + D * x
    return (y * F.silu(z.float())).to(u.dtype)


def too_long(i):
    """A loop in Python over very many steps would take minutes, its graph for the way back tens of gigabytes."""
    batch, length, channels = i["u"].shape
    kept = 24 * batch * length * channels * i["A"].shape[1]
    if length > 4096 or kept > 16 << 30:
        raise ValueError(f"a plain loop over {length} steps is too slow or keeps too much to be timed")


def leaves(tensors):
    return [t.detach().requires_grad_() for t in tensors]


def scan_torch(i, backward):
    too_long(i)
    args = [i[k] for k in ("u", "delta", "z", "A", "B", "C", "D", "deltaBias")]
    if not backward:
        return (lambda: [scan_plain(*args)]), ["out"]
    args = leaves(args)
    out = scan_plain(*args)
    return (lambda: torch.autograd.grad(out, args[:3], i["dout"], retain_graph=True)), ["du", "ddelta", "dz"]


def scan_mamba(module, i, backward):
    rows = lambda t: t.transpose(1, 2).contiguous()
    u, delta, z, dout = rows(i["u"]), rows(i["delta"]), rows(i["z"]), rows(i["dout"]) if backward else None
    B, C = rows(i["B"].squeeze(2)), rows(i["C"].squeeze(2))
    if not backward:
        call = lambda: module.selective_scan_fn(
            u, delta, i["A"], B, C, i["D"], z=z, delta_bias=i["deltaBias"], delta_softplus=True
        )
        return (lambda: [call()]), ["out"], lambda t: t.transpose(1, 2)
    u, delta, z, A, B, C, D, bias = leaves([u, delta, z, i["A"], B, C, i["D"], i["deltaBias"]])
    out = module.selective_scan_fn(u, delta, A, B, C, D, z=z, delta_bias=bias, delta_softplus=True)
    run = lambda: torch.autograd.grad(out, [u, delta, z, A, B, C, D, bias], dout, retain_graph=True)
    return run, ["du", "ddelta", "dz"], lambda t: t.transpose(1, 2)


def conv_torch(i, backward):
    channels, width = i["weight"].shape
    call = lambda x, w, b: F.silu(
        F.conv1d(x.transpose(1, 2), w.to(x.dtype).unsqueeze(1), b.to(x.dtype), padding=width - 1, groups=channels)
    )[..., : x.shape[1]].transpose(1, 2)
    args = [i["x"], i["weight"], i["bias"]]
    if not backward:
        return (lambda: [call(*args)]), ["out"]
    args = leaves(args)
    out = call(*args)
    return (lambda: torch.autograd.grad(out, args, i["dout"], retain_graph=True)), ["dx", "dweight", "dbias"]


def conv_peer(module, i, backward):
    # Channel-last, which it takes as (batch, channels, length) with a stride of one over channels.
    args = [i["x"].transpose(1, 2), i["weight"].to(i["x"].dtype), i["bias"].to(i["x"].dtype)]
    back = lambda t: t.transpose(1, 2)
    if not backward:
        return (lambda: [module.causal_conv1d_fn(*args, activation="silu")]), ["out"], back
    args = leaves(args)
    out = module.causal_conv1d_fn(*args, activation="silu")
    dout = i["dout"].transpose(1, 2)
    return (lambda: torch.autograd.grad(out, args, dout, retain_graph=True)), ["dx"], back


def norm_torch(i, backward):
    call = lambda x, r, w: F.rms_norm(x.float() + r, w.shape, w, 1e-5).to(x.dtype)
    if not backward:
        return (lambda: [call(i["x"], i["residual"], i["weight"])]), ["y"]
    total, weight = leaves([i["sum"], i["weight"]])
    y = F.rms_norm(total, weight.shape, weight, 1e-5).to(i["x"].dtype)

    def run():
        dtotal, dweight = torch.autograd.grad(y, [total, weight], i["dy"], retain_graph=True)
        return [dtotal + i["dsum"], dweight]

    return run, ["dresidual", "dweight"]


def linear_torch(i, _):
    return (lambda: [F.linear(i["x"], i["weight"])]), ["y"]


def loss_torch(i, backward):
    targets = i["targets"].long()
    if not backward:
        return (lambda: [F.cross_entropy(i["logits"].float(), targets, reduction="none")]), ["losses"]
    (logits,) = leaves([i["logits"]])
    loss = F.cross_entropy(logits.float(), targets)
    return (lambda: torch.autograd.grad(loss, [logits], retain_graph=True)), ["dlogits"]


def adamw_torch(i, _):
    p, m, v = i["parameter"].clone(), i["m"].clone(), i["v"].clone()
    lr, b1, _, b2, _, eps, decay, _, _ = i["hyperparameters"].tolist()
    steps = torch.full((), 2.0, device=p.device)

    def run():
        torch._fused_adamw_(  # what torch.optim.AdamW(fused=True) calls, without its bookkeeping
            [p], [i["gradient"]], [m], [v], [], [steps],
            lr=lr, beta1=b1, beta2=b2, weight_decay=decay, eps=eps, amsgrad=False, maximize=False,
        )  # fmt: skip
        return [p, m, v]

    # The count of steps is the caller's to advance: this is the third.
    steps += 1
    return run, ["parameter", "m", "v"]


def step_torch(i, _):
    h = i["state"].clone()
    x, B, C = i["x"].float(), i["B"].squeeze(1).float(), i["C"].squeeze(1).float()

    def run():
        step = F.softplus(i["dt"].float() + i["dtBias"])
        h.mul_(torch.exp(step[..., None] * i["A"])).add_((step * x)[..., None] * B[:, None])
        y = (h * C[:, None]).sum(-1) + i["D"] * x
        return [(y * F.silu(i["z"].float())).to(i["x"].dtype)]

    return run, ["out"]


def step_mamba(module, i, _):
    h = i["state"].clone()
    B, C = i["B"].squeeze(1), i["C"].squeeze(1)
    run = lambda: [
        module.selective_state_update(
            h, i["x"], i["dt"], i["A"], B, C, i["D"], z=i["z"], dt_bias=i["dtBias"], dt_softplus=True,
        )
    ]  # fmt: skip
    return run, ["out"], lambda t: t


def embedding_torch(i, vocab):
    ids, dy = i["ids"].long(), i["dy"].float()
    return (lambda: [torch.zeros(vocab, dy.shape[1], device=dy.device).index_add_(0, ids, dy)]), ["dweight"]


def fft_conv_torch(module, i, backward):
    """The convolution of state-spaces/s4: real transforms of twice the length, channels before steps."""
    rows = lambda t: t.transpose(1, 2).contiguous()
    length = i["u"].shape[1]

    def call(u, k, D):
        spectrum = torch.fft.rfft(u.float(), n=2 * length) * torch.fft.rfft(k, n=2 * length)
        return (torch.fft.irfft(spectrum, n=2 * length)[..., :length] + D[:, None] * u).to(u.dtype)

    back = lambda t: t.transpose(1, 2)
    args = [rows(i["u"]), i["k"][0], i["D"]]
    if not backward:
        return (lambda: [call(*args)]), ["y"], back
    args, dy = leaves(args), rows(i["dy"])
    y = call(*args)
    return (lambda: torch.autograd.grad(y, args, dy, retain_graph=True)), ["du"], back


def s4d_kernel_torch(i, forward_length):
    """The kernel of state-spaces/s4's S4D: powers of every state at every position, then their sum."""
    length = forward_length or i["dK"].shape[1]

    def call(dt, A, C):
        A, C = torch.view_as_complex(A), torch.view_as_complex(C)
        dtA = A * dt[:, None]
        powers = torch.exp(dtA[..., None] * torch.arange(length, device=dt.device))
        return 2 * torch.einsum("hn,hnl->hl", C * (torch.exp(dtA) - 1) / A, powers).real

    args = [i["dt"], i["A"], i["C"]]
    if forward_length:
        return (lambda: [call(*args)]), ["K"]
    args = leaves(args)
    K = call(*args)
    return (lambda: torch.autograd.grad(K, args, i["dK"], retain_graph=True)), ["ddt", "dA", "dC"]


same = lambda f: lambda module, i, flag: (*f(i, flag), lambda t: t)
PEERS = {
    "selective_scan": [
        ("mamba_ssm", "mamba_ssm.ops.selective_scan_interface", scan_mamba),
        ("torch", None, same(scan_torch)),
    ],
    "causal_conv1d": [("causal_conv1d", "causal_conv1d", conv_peer), ("torch", None, same(conv_torch))],
    "rms_norm": [("torch", None, same(norm_torch))],
    "linear": [("torch", None, same(linear_torch))],
    "cross_entropy": [("torch", None, same(loss_torch))],
    "adamw": [("torch", None, same(adamw_torch))],
    "selective_state_update": [
        ("mamba_ssm", "mamba_ssm.ops.triton.selective_state_update", step_mamba),
        ("torch", None, same(step_torch)),
    ],
    "embedding": [("torch", None, same(embedding_torch))],
    "fft_conv": [("torch", None, fft_conv_torch)],
    "s4d_kernel": [("torch", None, same(s4d_kernel_torch))],
}


def difference(got, want):
    """Of the whole result, relative to its size; NaN is infinitely far."""
    got, want = got.float(), want.float()
    if got.shape != want.shape:
        return float("inf")
    value = ((got - want).norm() / want.norm().clamp_min(1e-30)).item()
    return value if value == value else float("inf")


def time_runs(prepare, inputs, device, quick):
    """Times runs over sets of inputs that together are beyond the caches, on a GPU as one graph if that is possible."""
    cuda = device.type == "cuda"
    one = sum(t.numel() * t.element_size() for t in inputs.values())
    sets = max(1, min(64, -(-ROTATED_BYTES // one))) if cuda else 1
    runs = [prepare({k: v.clone() for k, v in inputs.items()} if n else inputs)[0] for n in range(sets)]
    few, seconds = (5, 0.5) if quick else ((50, 2.0) if cuda else (15, 4.0))

    def every():
        for run in runs:
            run()

    samples, graphed = [], False
    if not cuda:
        every()
        every()
        end = time.perf_counter() + seconds
        while len(samples) < few or time.perf_counter() < end:
            start = time.perf_counter()
            every()
            samples.append(1000 * (time.perf_counter() - start) / sets)
    else:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            every()
            every()
            torch.cuda.synchronize()
            work = every
            try:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=stream):
                    every()
                work, graphed = graph.replay, True
            except Exception:  # noqa: BLE001: what cannot be captured runs as it is
                torch.cuda.synchronize()
            end = time.perf_counter() + seconds
            while len(samples) < few or time.perf_counter() < end:
                begin, finish = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record(stream)
                work()
                finish.record(stream)
                finish.synchronize()
                samples.append(begin.elapsed_time(finish) / sets)
    samples.sort()
    at = lambda share: samples[min(len(samples) - 1, int(share * len(samples)))]
    return {
        "medianMs": at(0.5),
        "minMs": samples[0],
        "spreadMs": at(0.75) - at(0.25),
        "samples": len(samples),
        "method": "replay" if graphed else "run",
        "runsPerSample": sets,
        "sets": sets,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(json.dumps({"peer": "torch", "missing": "this PyTorch sees no GPU"}))
        return
    job = json.loads((given.folder / "job.json").read_text())
    inputs = load(given.folder / "inputs.safetensors", device)
    wanted = load(given.folder / "outputs.safetensors", device)
    stem = job["kernel"].removesuffix("_forward").removesuffix("_backward")
    flag = is_backward = job["kernel"].endswith("_backward")
    if stem == "embedding":
        flag = job["shape"]["vocab"]
    elif stem == "s4d_kernel":
        flag = 0 if is_backward else job["shape"]["length"]
    for name, needs, make in PEERS.get(stem, []):
        module, missing = optional(needs) if needs else (None, None)
        if missing:
            print(json.dumps({"peer": name, "missing": missing}), flush=True)
            continue
        try:
            prepare = lambda values: make(module, values, flag)  # noqa: B023
            run, names, back = prepare(inputs)
            results = run()
            far = {n: difference(back(r) if r.dim() == 3 else r, wanted[n]) for n, r in zip(names, results) if n in wanted}
            version = getattr(importlib.import_module(name), "__version__", "unknown")
            line = {"peer": name, "version": version, "difference": max(far.values())}
            if line["difference"] <= job["tolerance"]:
                line["timing"] = time_runs(prepare, inputs, device, given.quick)
            print(json.dumps(line), flush=True)
        except Exception as error:  # noqa: BLE001: one peer's failure is not another's
            print(json.dumps({"peer": name, "failure": f"{type(error).__name__}: {error}"}), flush=True)


main()
