"""The training loop. Read this first.

:func:`train` descends: for every epoch, for every batch in the feed's order, one step; after each epoch the
held-out rows are judged and the best weights kept. All that changes is the weights, the optimizer's tensors
and the few numbers in ``State``; a checkpoint holds exactly these, so a run that is killed and started again
ends with the same bits. Nothing else remembers anything: the order of rows is a function of (seed, epoch),
chance in a step of (seed, step, rank), in augmentation of (seed, epoch, row), and the learning rate of
the step.

In a gang every worker runs this loop on its own rows of each batch. What they have to agree on, the
gradients, the loss, whether to stop and whether to save, they do in ``exchange.before_step``.

Legend: n rows of a batch.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from orrery.errors import DivergedError
from orrery.networks.augment import Augment
from orrery.networks.decoders.decoder import Decoder
from orrery.networks.inputs import as_arrays
from orrery.training.blocks import Batch
from orrery.training.checkpoint import Saver
from orrery.training.events import Ended, Epoch, Event, Observer, Started, Step
from orrery.training.exchange.exchange import Exchange
from orrery.training.exchange.single import Single
from orrery.training.feed import Feed
from orrery.training.recipe import Recipe, learning_rate
from orrery.training.run import STOPPED, Run, State, begin, resume, snapshot
from orrery.training.threads import threads_that_pay
from orrery.training.world import Growing, World


def train(
    module: nn.Module,
    decoder: Decoder,
    feed: Feed,
    recipe: Recipe,
    world: World,
    observe: Observer,
    augment: Augment | None = None,
    exchange: Exchange | None = None,
) -> State:
    """Train a module in place; it ends with its best weights. The same ``world.folder`` resumes a run.

    Raises DivergedError where the loss is no longer a number, and FitError where the folder holds a
    checkpoint of another run, or cannot be written.
    """
    with _one_at_a_time(world):
        run = begin(module, decoder, feed, recipe, world, observe, augment, exchange or Single())
        part = -(-min(feed.rows, recipe.batch_size) // world.size)
        first = feed.take(np.arange(part, dtype=np.int64))
        with threads_that_pay(module, _tensors(run, first)):
            return _train(run)


def _train(run: Run) -> State:
    meet = (lambda: run.exchange.totals([0.0])) if run.exchange.apart else None
    saver = Saver(run.world, run.key, run.recipe.checkpoint_s, run.observe, meet)
    found = saver.restore()
    state = resume(run, *found) if found else State()
    if run.world.serves:
        from orrery.training.exchange.server import serve

        return State(step=serve(run, state.step), reason="served")
    _tell(run, state, Started("network", run.feed.rows, run.steps, run.recipe.epochs, state.step))
    while not state.reason:
        _epoch(run, state, saver)
    saver.save(state.step, *snapshot(run, state))
    _share_buffers(run)
    run.module.load_state_dict(run.best or run.judged.state_dict())
    run.observe(Ended(state.reason, state.step, state.metrics))
    return state


def _epoch(run: Run, state: State, saver: Saver) -> None:
    """The rest of the epoch that ``state`` is in, then its close."""
    run.module.train()
    size = run.recipe.batch_size
    for batch in run.feed.batches(state.epoch, size, start=state.batch, world=run.world):
        save, grow = _step(run, state, batch, saver.due())
        if state.reason:
            return
        if save:
            saver.save(state.step, *snapshot(run, state))
        if save and grow:
            raise Growing
    _close_epoch(run, state)


def _step(run: Run, state: State, batch: Batch, due: bool) -> tuple[bool, bool]:
    """One batch: loss, gradients, one move of the weights.

    Whether a worker finds it time to save, and whether one knows of more workers.
    """
    rate = learning_rate(run.recipe, state.step, run.steps)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    _seed(run.world, state.step)
    own = sum(_backward(run, part, state.epoch, batch.total) for part in _parts(run, batch))
    world, rows = run.world, len(batch.rows)
    told = (own, *map(float, (world.stopping(), due, world.growing(), rows)))
    last = (state.batch + 1) * run.recipe.batch_size >= run.feed.rows
    loss, stop, save, grow, seen = run.exchange.before_step(run.module, told, last)
    if not math.isfinite(loss):
        raise _diverged("loss", loss, run, state)
    if run.recipe.clip_norm:
        parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, run.recipe.clip_norm)
    run.optimizer.step()
    run.optimizer.zero_grad()
    run.exchange.after_step(run.module)
    _average(run, state.step)
    state.step += 1
    state.batch += 1
    state.loss += loss * batch.total
    state.weight += batch.total
    state.rows += round(seen)
    if stop:
        state.reason = STOPPED
    _tell(run, state, Step(state.step, state.epoch, loss, rate, batch.size))
    return bool(save), bool(grow)


def _parts(run: Run, batch: Batch) -> Iterator[Batch]:
    """The batch, or the parts in which its gradients are accumulated."""
    if run.recipe.accumulate == 1:
        if len(batch.rows) or run.exchange.lockstep:
            yield batch
        return
    for rows in np.array_split(batch.rows, run.recipe.accumulate):
        if len(rows) or run.exchange.lockstep:
            yield run.feed.take(rows)


def _backward(run: Run, batch: Batch, epoch: int, weight: float) -> float:
    """Add this part's gradients; its share of the batch's loss."""
    blocks = _tensors(run, batch)
    if run.augment is not None and len(batch.rows):
        blocks = run.augment(blocks, batch.rows, epoch)
    truth = run.decoder.truth(batch.target).to(run.world.device)
    with _precision(run):
        scores = run.forward(blocks)
    losses = run.decoder.losses(scores.float(), truth)
    if batch.weight is not None:
        losses = losses * torch.from_numpy(batch.weight).to(losses)
    loss = losses.sum() / weight
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def _average(run: Run, step: int) -> None:
    """Move the running mean of the weights towards the weights; quickly at first."""
    if run.judged is not run.module:
        keep = min(run.recipe.averaging, (step + 1) / (step + 10))
        mean = [p.detach() for p in run.judged.parameters()]
        torch._foreach_lerp_(mean, [p.detach() for p in run.module.parameters()], 1 - keep)


def _close_epoch(run: Run, state: State) -> None:
    """Judge the weights, keep the best, and decide whether to go on."""
    _share_buffers(run)
    metrics = {"train/loss": state.loss / state.weight if state.weight else 0.0}
    if run.feed.validation is not None:
        metrics |= {f"validation/{name}": value for name, value in judge(run, run.feed.validation).items()}
    decisive = metrics.get("validation/loss")
    best = decisive is None or state.best_loss is None or decisive <= state.best_loss
    if decisive is not None and not math.isfinite(decisive):
        raise _diverged("validation loss", decisive, run, state)
    rows, state.rows = state.rows, 0
    state.epoch, state.batch, state.loss, state.weight = state.epoch + 1, 0, 0.0, 0.0
    if best:
        state.best_loss, state.best_epoch, state.metrics = decisive, state.epoch, metrics
        run.best.update((name, t.detach().clone()) for name, t in run.judged.state_dict().items())
    if state.epoch >= run.recipe.epochs:
        state.reason = "finished"
    elif run.recipe.patience is not None and state.epoch - state.best_epoch >= run.recipe.patience:
        state.reason = "stopped early"
    _tell(run, state, Epoch(state.epoch, metrics, best, rows))


def _share_buffers(run: Run) -> None:
    """What is counted rather than learnt (a batch norm's statistics) is not averaged but copied."""
    for mean, present in zip(run.judged.buffers(), run.module.buffers(), strict=True):
        mean.copy_(present)


def _diverged(what: str, loss: float, run: Run, state: State) -> DivergedError:
    rate = run.recipe.learning_rate
    return DivergedError(
        f"The {what} is {loss} at step {state.step} (epoch {state.epoch}).",
        hint=f"Lower the learning rate ({rate:g}), or look for extreme values in the data.",
    )


def judge(run: Run, feed: Feed) -> dict[str, float]:
    """Mean loss and metrics of the judged weights over some rows."""
    run.judged.eval()
    sums: dict[str, float] = {}
    weight = 0.0
    with torch.no_grad():
        for part in feed.batches(0, max(run.recipe.batch_size, 256), shuffle=False, world=run.world):
            batch = part if len(part.rows) else _weightless(feed)
            truth = run.decoder.truth(batch.target).to(run.world.device)
            with _precision(run):
                scores = run.judged(_tensors(run, batch)).float()
            found = {"loss": run.decoder.losses(scores, truth), **run.decoder.metrics(scores, truth)}
            rows = torch.from_numpy(batch.weight) if batch.weight is not None else None
            for name, each in found.items():
                each = each.double().cpu()
                sums[name] = sums.get(name, 0.0) + float((each if rows is None else each * rows).sum())
            weight += _weight(batch)
    weight, *totals = run.exchange.totals([weight, *sums.values()])
    return {name: value / max(weight, 1e-12) for name, value in zip(sums, totals, strict=True)}


def _weightless(feed: Feed) -> Batch:
    """A row that counts nothing, for a worker that has none while others do."""
    return replace(feed.take(np.zeros(1, np.int64)), weight=np.zeros(1))


def _tensors(run: Run, batch: Batch) -> dict[str, Tensor]:
    arrays = as_arrays(batch.blocks, run.feed.outputs)
    return {name: torch.from_numpy(array).to(run.world.device) for name, array in arrays.items()}


def _weight(batch: Batch) -> float:
    """What these rows count together."""
    return float(len(batch.rows)) if batch.weight is None else float(batch.weight.sum())


def _tell(run: Run, state: State, event: Event) -> None:
    """Tell the observers; the run is over where one says so."""
    if run.observe(event) == "stop" and not state.reason and run.world.size == 1:
        state.reason = STOPPED  # a gang stops together, in a step


def _precision(run: Run) -> AbstractContextManager[object]:
    if not run.recipe.mixed_precision or not run.world.device.startswith("cuda"):
        return nullcontext()
    return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())


def _seed(world: World, step: int) -> None:
    """Chance inside a step (dropout) depends on seed, step and rank only."""
    seed = (world.seed * 1_000_003 + step) * 1_000_003 + world.rank & 0x7FFF_FFFF_FFFF_FFFF
    torch.default_generator.manual_seed(seed)
    if world.device.startswith("cuda"):
        torch.cuda.manual_seed(seed)


_RUNNING = threading.RLock()


@contextmanager
def _one_at_a_time(world: World) -> Iterator[None]:
    """Chance in torch is one generator for the whole process: hold it, and give it back as it was."""
    devices = [torch.device(world.device)] if world.device.startswith("cuda") else []
    with _RUNNING, torch.random.fork_rng(devices=devices):
        yield
