"""Random command lines: Hydra's grammar of overrides, OmegaConf's grammar of interpolations, and what is wrong in both.

A line has keys of the config, of Hydra and of nobody; values that fit, that do not, and that refer to others; options; and,
in every fourth one, signs that were lost, doubled, exchanged or put in quotes.
"""

# ruff: noqa: SIM905  (words of a list, not code)
from __future__ import annotations

from random import Random

GROUPS = {
    "model": "one_d linear logistic mlp softmax function perceptron".split(),
    "data": "gaussian file sklearn values none cloud".split(),
    "init": "normal zeros values file optimum ones".split(),
    "bug": "none scale sign_flip missing_mean transposed label_flip downcast course_pair typo".split(),
    "engine": "serial serial gpu".split(),
    "+experiment": "textbook_1d linear_five_features course_net bug_zoo nobody".split(),
    "hydra/launcher": "basic nobody".split(),
    "hydra/sweeper": "basic nobody".split(),
    "hydra/job_logging": "default none disabled nobody".split(),
    "hydra/output": "default nobody".split(),
    "schema/model": "mlp".split(),
}
# Keys whose values are mostly drawn so that they fit, by the kind of value.
FITTING = {
    "float": "eps match_at accept min_judged data.noise data.scale model.l2 bug.magnitude init.scale".split(),
    "int": "data.seed init.seed bug.seed data.n data.d engine.n_jobs model.n_classes bug.index".split(),
    "word": "scheme dtype bug.param model.activation fail_on progress init.name model.name data.source".split(),
    "bool": "model.bias data.standardize fail_fast dry_run hydra.job.chdir".split(),
}
OTHERS = (
    "model.reduction model.layers model.loss model.curve model.x model.fun model.jac model.x0 model.args data.outputs"
    " data.correlation data.path data.target data.features data.name data.X data.y data.max_bytes init.values init.path"
    " bug.fraction cell_timeout allow store nonsense model.nope eps.0 model.layers.0 init.values.W bug.name"
    " hydra.mode hydra.verbose hydra.job.name hydra.job.num hydra.job.id hydra.output_subdir hydra.run.dir"
    " hydra.sweep.dir hydra.sweep.subdir hydra.sweeper hydra.launcher hydra.sweeper.params hydra.sweeper.params.eps"
    " hydra.sweeper.max_batch_size hydra.searchpath hydra.job.env_set.A hydra.job.env_copy hydra.job_logging.version"
    " hydra.job_logging hydra.callbacks hydra.callbacks.a hydra.callbacks.a._target_ hydra.job.override_dirname"
    " hydra.runtime.output_dir hydra.overrides.task hydra.help hydra.env hydra hydra.nope"
).split()
WORDS = (
    "central forward backward five_point seven_point richardson complex_step midpoint float32 float64 longdouble float16"
    " relu tanh sigmoid softplus sum mean cubic abs exp iris W b W1 theta mismatch never none auto a.csv missing.csv"
    " w.npz math.exp os.system no.such.Class builtins.dict RUN MULTIRUN a_b x.y.z é ☃ :x a:b _target_ __class__"
).split()
NUMBERS = "0 1 2 3 5 -1 0.5 1e-4 1e-6 .5 5. +1 1_0 1e300 1e-320 nan inf -inf 0x10 007 --1 99999999999999999999".split()
FITS = {
    "float": "1e-4 1e-6 0.5 0.01 1 0".split(),
    "int": "1 2 3 5 8".split(),
    "word": "central forward float64 float32 W b relu tanh never none normal".split(),
    "bool": "true false".split(),
}
KEYS = [key for keys in FITTING.values() for key in keys] + OTHERS
RESOLVERS = (
    "logspace:-6,-2,3 logspace:-6 logspace:a,b,c logspace: logspace oc.env:HOME oc.env:NOT_SET oc.env:NOT_SET,1"
    " oc.env: oc.select:eps oc.select:nope,2 oc.decode:'[1,2]' oc.decode:'[1' oc.create:[1,2] oc.create:{a:1}"
    " oc.dict.keys:init oc.dict.values:nope oc.deprecated:eps oc.dict.values:init eval:1+1 nobody:1,2 hydra:job.num"
    " hydra:job.nope hydra: hydra:run.dir python_version:major config_groups: .eps ..data.seed ...x data[seed]"
    " data[nope] [init][seed] eps.0 hydra.job.num"
).split()
FUNCTIONS = "range choice interval glob sort shuffle tag int float str bool json_str extend_list nobody".split()
ODD = [*"[]{}(),:=.'\"\\$@~+*/ \n\t\x1b", "\udcff", "é", "\u202e"]
FLAGS = (
    "--cfg=job --cfg --resolve --info --info=config --version --eps=1e-4 --n --frobnicate -c -p --config-path=x"
    " --config-name=x --config-dir=nowhere --config-dir=. --experimental-rerun=x --multirun=true -x --package=model -"
).split()


def primitive(random: Random, kind: str = "") -> str:
    """Words, numbers, constants and interpolations, sometimes joined."""
    if kind and random.random() < 0.7:
        return random.choice(FITS[kind])
    words = [
        random.choice(WORDS),
        random.choice(NUMBERS),
        random.choice(["true", "false", "null", "TRUE", "Null"]),
        str(random.randrange(-5, 40)),
        repr(random.uniform(-2, 2)),
        interpolation(random, 2),
        random.choice(["\\,", "\\[", "a\\ b", "\\\\", "a b", "%", "é:ü", "a/b", "-", "*", "?", "|"]),
    ]
    chosen = random.choice(words)
    return chosen if random.random() < 0.9 else chosen + random.choice(words)


def interpolation(random: Random, depth: int) -> str:
    """``${...}`` of a key, of a resolver with arguments, or of both within each other."""
    kind = random.randrange(6)
    if kind < 2:
        inner = random.choice(KEYS)
    elif kind < 4 or not depth:
        inner = random.choice(RESOLVERS)
    elif kind == 4:
        inner = f"oc.env:NOT_SET,{value(random, depth - 1)}"
    else:
        inner = f"{random.choice(['data.', '', 'oc.select:', 'logspace:-4,-2,'])}{interpolation(random, depth - 1)}"
    return f"${{{inner}}}"


def value(random: Random, depth: int = 2, kind: str = "") -> str:
    """An element of the grammar: a primitive, text in quotes, a list, a mapping, a function."""
    chosen = random.randrange(10) if depth > 0 else 0
    if chosen < 5:
        return primitive(random, kind)
    inner = [value(random, depth - 1, kind) for _ in range(random.randrange(4))]
    if chosen == 5:
        quote = random.choice("'\"")
        text = (inner or [""])[0]
        return f"{quote}{text.replace(quote, chr(92) + quote) if random.random() < 0.9 else text}{quote}"
    if chosen == 6:
        return f"[{random.choice([',', ', ']).join(inner)}]"
    if chosen == 7:
        names = [random.choice(["a", "W", "seed", "1", "null", "a b", "_target_", "'q'"]) for _ in inner]
        return f"{{{','.join(f'{name}:{item}' for name, item in zip(names, inner, strict=True))}}}"
    if chosen == 8:
        given = [random.choice(["", "", "start=", "step=", "name=", "reverse="]) + item for item in inner]
        return f"{random.choice(FUNCTIONS)}({','.join(given)})"
    return ",".join(inner or [primitive(random, kind)])


def override(random: Random) -> str:
    """A key and a value, a choice of configs, or something to remove."""
    drawn = random.random()
    if drawn < 0.2:
        group = random.choice([*GROUPS, "model", "data", "init", "bug", "bug"])
        good = GROUPS[group][: -1 if len(GROUPS[group]) > 1 else None]  # the last name is nobody's
        names = random.choices(good if random.random() < 0.8 else GROUPS[group], k=random.choice([1, 1, 1, 2]))
        package = random.choice([*[""] * 20, "@data", "@_global_", "@:x", "@"])
        return f"{random.choice([*[''] * 20, '~', '+', '++'])}{group}{package}={','.join(names)}"
    kind = random.choice([*FITTING, *FITTING, "word", ""])
    key = random.choice(FITTING[kind]) if kind and random.random() < 0.8 else random.choice(KEYS)
    sign = random.choice([*[""] * 25, "+", "++", "~"])
    if sign == "~" and random.random() < 0.5:
        return f"~{key}"
    if kind == "int" and drawn < 0.35:
        return f"{sign}{key}={random.choice(['range(2)', 'range(1,4)', '1,2', 'choice(1,2)', 'range(0,1,0.5)', 'range(2,2)'])}"
    if kind and drawn < 0.75:
        count = random.choice([1, 1, 1, 2, 2, 3])
        return f"{sign}{key}={','.join(random.choice(FITS[kind]) for _ in range(count))}"
    return f"{sign}{key}={value(random, 2, kind)}"


def damaged(random: Random, line: str) -> str:
    """A line in which something was lost, doubled, exchanged, added or put in quotes."""
    i, j = sorted((random.randrange(len(line) + 1), random.randrange(len(line) + 1)))
    quote = random.choice("'\"")
    return random.choice(
        [
            line[:i] + line[i + 1 :],
            line[:i] + line[i : i + 1] + line[i:],
            line[:i] + random.choice(ODD) + line[i:],
            line[:i] + line[j:],
            line[:i] + line[i:j][::-1] + line[j:],
            f"{quote}{line}{quote}",
            line.replace("=", f"={quote}", 1) + quote,
            line.replace("=", " = ", 1),
            line.replace("=", ":", 1),
            f"--{line}",
        ]
    )


def command_line(random: Random) -> list[str]:
    """Overrides and options in any order; half of the lines are sweeps."""
    typed = [override(random) for _ in range(random.choice([1, 1, 1, 2, 2, 3]))]
    if random.random() < 0.25:
        i = random.randrange(len(typed))
        typed[i] = damaged(random, typed[i])
    if random.random() < 0.05:
        typed.insert(random.randrange(len(typed) + 1), random.choice(FLAGS))
    if random.random() < 0.5:
        typed.insert(random.randrange(len(typed) + 1), random.choice(["-m", "-m", "--multirun"]))
    return typed
