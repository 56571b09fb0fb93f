"""Every setting: name, type, default, and one comment each, which `help train` shows.

`auto` (or an empty value, where the comment says so) is decided once, when a run is made, and the
decision is written to the run's config.yaml.
"""

from dataclasses import dataclass, field
from typing import Any

TASKS = ("multiclass", "multilabel", "ordinal", "regression")  # two classes are multiclass
SUBMISSIONS = ("label", "labels", "probability", "columns", "value")
POOLS = ("avg", "max", "avgmax", "catavgmax", "gem")
SCHEDULES = ("flat_cosine", "onecycle", "step", "plateau", "constant")
LOSSES = ("cross_entropy", "focal", "bce", "ordinal", "mse", "mae", "smooth_l1")
CLASS_WEIGHTS = {"each_or": ("none", "inverse", "effective")}  # or {name: number above 0}


def one_of(default: Any, *others: Any) -> Any:
    """A setting with a closed list of values; anything else is refused with exit code 2."""
    return field(default=default, metadata={"choices": (default, *others)})


def between(
    default: float, low: float, high: float = float("inf"), auto: float | None = None
) -> Any:
    """A number (int or float, as annotated) that must lie in [low, high].

    ``auto``: the number, inside or outside, that stands for the word `auto`.
    """
    return field(default=default, metadata={"range": (low, high), "auto": auto})


@dataclass
class Columns:
    id: str = ""  # column of the train table with the image ids ('': found by its name)
    label: str = ""  # column with the labels, or several: red,green ('': found by name)
    path: str = ""  # column with the image files where ids do not name them, or several: left,right


@dataclass
class Competition:
    slug: str = "digits"  # folder under input/, or a path; `competition=X` for short
    task: str = one_of("auto", *TASKS)  # auto: by the labels, the sample and the metric
    metric: str = "auto"  # auto: by the task; a wrong name lists them; yours: module:function
    metrics: list[str] = field(default_factory=list)  # others to watch
    threshold: float = between(0.5, 0, 1)  # a class of multilabel, or the second of two, is said
    thresholds: dict[str, float] = field(default_factory=dict)  # of single classes: {rust: 0.3}
    unsure: str = one_of("none", "best")  # best: a multilabel row always gets its likeliest class
    classes: list[str] = field(default_factory=list)  # []: those of the train table, sorted
    separator: str = ""  # between the labels of a multilabel cell ('': found)
    pattern: str = ""  # labels in file names: a regular expression with (?P<label>…)
    pixels: str = ""  # shape of flat pixels: 28x28, 32x32x3 or 3x32x32 ('': square)
    corrections: str = "auto"  # corrections.csv mends training labels; off: it is not read
    train: str = ""  # train table ('': found by its name)
    test: str = ""  # table of the test ids ('': found by its name)
    sample: str = ""  # sample submission ('': found by its name)
    train_images: str = ""  # folder of the training images ('': found by its name)
    test_images: str = ""  # folder of the test images ('': found by its name)
    submission: str = one_of("auto", *SUBMISSIONS)  # auto: as in the sample
    columns: Columns = field(default_factory=Columns)


@dataclass
class Images:
    size: int = between(0, 0, 4096)  # pixels a side; 0: the data's own up to 64, otherwise 224
    crop_pct: float = between(1.0, 0.1, 1)  # share of the side that is seen: 0.875 is 224 of 256
    decode_size: int = between(0, 0, 8192)  # side that files are decoded at; 0: size / crop_pct
    mean: list[float] = field(default_factory=list)  # of pixels from 0 to 1; []: the model's own
    std: list[float] = field(default_factory=list)  # as mean: one a channel, or one for all: [0.5]
    missing: str = one_of("error", "drop")  # drop: train rows left out, test rows get the prior
    broken: str = one_of("error", "prior")  # prior: they get the class prior and teach nothing
    pack: str = "auto"  # auto: decoded once into the competition's packed/; off; or a folder
    clahe: float = between(0.0, 0, 100)  # clip limit of an equalisation of contrast; 0: none
    resident_gb: float = between(2.0, 0)  # train images of up to this size stay on the device
    workers: int = between(0, 0, 256)  # decoding threads; 0: one a core


@dataclass
class Folds:
    k: int = between(5, 2, 1000)  # number of folds, frozen in folds.csv
    method: str = one_of("auto", "stratified", "group", "stratified_group")  # auto: by folds.group
    group: str = ""  # column whose equal values never straddle folds; duplicates: near-duplicates
    rare: str = one_of("error", "allow")  # a class with fewer rows than folds
    seed: int = between(0, 0, 2**32 - 1)  # of the split


@dataclass
class Data:
    fraction: float = between(1.0, 0.0001, 1)  # of the training rows, with the classes' shares
    sampler: str = one_of("shuffle", "balanced", "sqrt")  # how often each class comes in an epoch
    weights: str = ""  # column of the train table that each row's loss is multiplied by
    weights_digest: str = ""  # of that column ('': taken when the run is made)


@dataclass
class Augment:
    preset: str = one_of("default", "none", "light", "medium", "heavy")  # fills what is left alone
    on: str = one_of("auto", "device", "cpu")  # auto: the device, the CPU for what only it can
    pipeline: list[Any] = field(default_factory=list)  # albumentations by name, on the CPU, first
    hflip: float = between(0.0, 0, 1)  # probability of a horizontal flip
    vflip: float = between(0.0, 0, 1)  # probability of a vertical flip
    rotate90: float = between(0.0, 0, 1)  # probability of a turn by 90, 180 or 270 degrees
    shift: float = between(0.1, 0, 0.5)  # largest shift of the crop, as a share of the side
    rotate: float = between(0.0, 0, 180)  # largest rotation either way, in degrees
    scale: float = between(0.0, 0, 0.9)  # largest zoom either way: 0.2 is 0.8 to 1.2 times
    scales: list[float] = field(default_factory=list)  # zooms to choose from: [0.8, 1.0, 1.2]
    shear: float = between(0.0, 0, 45)  # largest shear along each axis, in degrees
    affine_prob: float = between(1.0, 0, 1)  # that an image is shifted, rotated, zoomed, sheared
    perspective: float = between(0.0, 0, 0.4)  # how much nearer or farther a side may come
    perspective_prob: float = between(0.5, 0, 1)  # that an image is seen in perspective
    crop: float = between(1.0, 0.01, 1)  # smallest area of a random resized crop; 1: no crop
    crop_ratio: float = between(1.33, 1, 10)  # its longest sides: from 3:4 to 4:3
    border: str = one_of("edge", "reflect", "black")  # what lies outside the image
    downscale: float = between(0.0, 0, 1)  # probability of a lower resolution
    downscale_to: float = between(0.5, 0.01, 1)  # the lowest, as a share of the side
    blur: float = between(0.0, 0, 1)  # probability of a Gaussian blur
    blur_sigma: float = between(2.0, 0.1, 50)  # its largest standard deviation, in pixels
    brightness: float = between(0.0, 0, 1)  # largest change: 0.2 is 0.8 to 1.2 times
    contrast: float = between(0.0, 0, 1)  # largest change, about the image's mean gray
    saturation: float = between(0.0, 0, 1)  # largest change; RGB only, as hue
    hue: float = between(0.0, 0, 0.5)  # largest change, as a share of the colour circle
    jitter_prob: float = between(1.0, 0, 1)  # that brightness, contrast, saturation, hue change
    cutout: float = between(0.0, 0, 1)  # probability of gray square holes
    cutout_holes: int = between(1, 1, 64)  # largest number of holes
    cutout_size: float = between(0.25, 0.01, 1)  # side of a hole, as a share of the image's
    erase: float = between(0.0, 0, 1)  # probability that a rectangle becomes random pixels
    erase_area: float = between(0.2, 0.02, 1)  # its largest area, as a share of the image's
    noise: float = between(0.0, 0, 1)  # probability of Gaussian noise
    noise_std: float = between(0.05, 0, 1)  # its largest standard deviation, of pixels from 0 to 1
    jpeg: float = between(0.0, 0, 1)  # probability of JPEG compression (CPU)
    jpeg_quality: int = between(50, 1, 100)  # its lowest quality
    clahe: float = between(0.0, 0, 1)  # probability of local histogram equalisation (CPU)
    clahe_clip: float = between(4.0, 1, 100)  # its largest limit of contrast
    randaugment: int = between(0, 0, 10)  # random operations an image (CPU); 0: none
    magnitude: float = between(9.0, 0, 30)  # strength of randaugment, from 0 to 30
    mixup: float = between(0.0, 0, 100)  # alpha of MixUp; 0: none
    cutmix: float = between(0.0, 0, 100)  # alpha of CutMix; 0: none
    mix_prob: float = between(1.0, 0, 1)  # that a batch (or image) is mixed
    mix_by: str = one_of("batch", "image")  # what draws its own share and box
    mix_both: str = one_of("random", "alternate")  # mixup and cutmix: at random, or by turns


# What `augment.preset` fills where neither the recipe nor the command line says otherwise.
PRESETS: dict[str, dict[str, float]] = {
    "default": {},
    "none": {"shift": 0.0},
    "light": {"hflip": 0.5, "shift": 0.1, "brightness": 0.1, "contrast": 0.1},
    "medium": {
        **{"hflip": 0.5, "shift": 0.1, "rotate": 15.0, "scale": 0.1},
        **{"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.03},
        **{"cutout": 0.3},
    },
    "heavy": {
        **{"hflip": 0.5, "shift": 0.1, "rotate": 20.0, "scale": 0.2, "shear": 5.0},
        **{"perspective": 0.2, "perspective_prob": 0.3, "downscale": 0.1, "blur": 0.2},
        **{"brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "hue": 0.05},
        **{"cutout": 0.3, "cutout_holes": 4, "erase": 0.3, "noise": 0.2},
    },
}


@dataclass
class Model:
    name: str = "auto"  # any name that timm.create_model knows; auto: by the size of the images
    args: dict[str, Any] = field(default_factory=dict)  # the model's own arguments
    pretrained: bool = False  # timm's weights (needs the network, or timm's cache)
    weights: str = ""  # a file to start from instead (.safetensors, .pth), or a run: fold by fold
    weights_digest: str = ""  # of that file ('': taken when the run is made)
    head: str = one_of("own", "mlp")  # mlp: two linear layers in the last one's place
    head_init: str = one_of("own", "xavier")  # weights of the last layers before training
    pool: str = one_of("own", *POOLS)  # from the last map to the head; own: the model's
    stem: str = one_of("own", "small")  # small: 3x3 that halves nothing, for small images
    in_chans: int = between(0, 0, 64)  # 3: RGB, 1: gray; 0: 3, or all of a row's images stacked
    drop_rate: float = between(-1.0, 0, 1, auto=-1)  # dropout of the head; auto: the model's own
    drop_path_rate: float = between(-1.0, 0, 1, auto=-1)  # stochastic depth; auto: the model's own
    drop_block_rate: float = between(-1.0, 0, 1, auto=-1)  # DropBlock; auto: the model's own
    max_params: float = between(0, 0)  # refuse a larger model (a competition's rule); 0: no limit


@dataclass
class Loss:
    name: str = one_of("auto", *LOSSES)  # auto: by the task
    smoothing: float = between(0.0, 0, 0.999)  # label smoothing
    class_weights: Any = field(default="none", metadata=CLASS_WEIGHTS)  # by hand: {squirrel: 5}
    effective_beta: float = between(0.999, 0, 0.999999)  # beta of class_weights=effective
    focal_gamma: float = between(2.0, 0, 20)  # how far focal lets go of what is right already
    focal_alpha: float = between(0.0, 0, 1)  # focal's share of positives; 0: none


@dataclass
class Distill:
    run: str = ""  # the teacher: its models teach the folds that they hold out ('': none)
    recipe: str = ""  # digits of its recipe's hash ('': taken when the run is made)
    temperature: float = between(3.0, 0.1, 100)  # that both parts' logits are divided by
    alpha: float = between(0.5, 0, 1)  # the teacher's share of the loss; the labels have the rest


@dataclass
class Pseudo:
    run: str = ""  # the run or blend whose predictions of unlabelled images are learned ('': none)
    recipe: str = ""  # digits of its recipe's hash ('': taken when the run is made)
    pool: str = ""  # folder of the unlabelled images ('': the test set)
    pool_digest: str = ""  # of that folder's names and sizes ('': taken)
    labels: str = one_of("hard", "soft")  # the likeliest class, or the probabilities as they are
    threshold: float = between(0.9, 0, 1)  # least probability of its class that an image needs
    share: float = between(1.0, 1e-6, 1)  # only the surest share of each predicted class
    agree: float = between(0.0, 0, 1)  # share of the members that must say so too; 0: not asked
    balance: float = between(1.5, 0)  # most of a class, in times its labelled share; 0: any number
    duplicates: str = one_of("keep", "drop")  # drop: none that nearly duplicates a training image
    weight: float = between(1.0, 0, 1000)  # of a pseudo-label in the loss


@dataclass
class Optimizer:
    name: str = "adamw"  # any optimizer of timm's factory
    args: dict[str, Any] = field(default_factory=dict)  # the optimizer's own arguments
    lr: float = between(2e-3, 0)  # peak learning rate
    lr_batch: int = between(0, 0)  # batch size that lr is meant for: scaled from there; 0: not
    weight_decay: float = between(0.05, 0)  # not applied to norms and biases
    momentum: float = between(0.9, 0, 1)  # of the optimizers that have one
    betas: list[float] = field(default_factory=list)  # []: the optimizer's own
    layer_decay: float = between(1.0, 0.01, 1)  # each layer's rate, as a share of the next one's
    head_lr: float = between(1.0, 0, 1000)  # the last layer's rate, as a multiple of the others'
    freeze_epochs: int = between(0, 0)  # first epochs in which only the last layer learns
    clip: float = between(1.0, 0)  # limit of the gradient; 0: no clipping
    clip_mode: str = one_of("norm", "value", "agc")  # agc: as a share of the weights, say 0.01


@dataclass
class Schedule:
    name: str = one_of("cosine", *SCHEDULES)  # of the learning rate, by step
    warmup_epochs: float = between(1.0, 0)  # linear warm-up before any of them but onecycle
    warmup_lr: float = between(1e-5, 0)  # where the warm-up starts
    min_lr: float = between(1e-6, 0)  # where a cosine ends; step and plateau stop there
    flat: float = between(0.75, 0, 1)  # of flat_cosine: share of the training before the cosine
    decay_epochs: Any = 10  # of step: every so many epochs, or after those of a list: [15, 25]
    decay_rate: float = between(0.1, 0, 1)  # of step and plateau: times this, each time
    patience: int = between(5, 0)  # of plateau: epochs without improvement that pass unpunished
    threshold: float = between(1e-4, 0)  # of plateau: the smallest improvement that counts
    pct_start: float = between(0.3, 0, 1)  # of onecycle: share of the training in which it rises
    div_factor: float = between(25.0, 1)  # of onecycle: it starts at the peak divided by this
    final_div_factor: float = between(1e4, 1)  # of onecycle: it ends at the start divided by this
    base_momentum: float = between(0.85, 0, 0.999)  # of onecycle: momentum at the peak; 0: as it is
    max_momentum: float = between(0.95, 0, 0.999)  # of onecycle: momentum at both ends


@dataclass
class Train:
    epochs: int = between(30, 0, auto=0)  # passes over the training rows; auto: as hours allow
    hours: float = between(0.0, 0)  # the call ends within; 0: takes what it takes
    batch_size: int = between(64, 0, auto=0)  # images a step; auto: as many as fit
    accumulate: int = between(1, 1)  # batches whose gradients make one update
    ema: float = between(0.99, 0, 0.99999)  # decay of the weights' moving average; 0: none
    ema_warmup: str = one_of("ratio", "power", "none")  # how the decay grows in the beginning
    precision: str = one_of("auto", "bf16", "fp16", "fp32")  # auto: bf16 or fp16 where it is fast
    channels_last: bool = True  # memory format of images and weights
    eval_every: int = between(1, 0)  # epochs between looks at the held-out fold; 0: only at the end
    deterministic: bool = False  # same bytes on a GPU too (CPUs always), at some cost in speed
    keep: str = one_of("last", "best")  # weights: of the last epoch, or of the best watched one
    watch: str = one_of("inner", "fold")  # what best, patience and plateau go by; fold: optimistic
    inner: float = between(0.1, 0, 0.5)  # share of the training rows that is held out to be watched
    patience: int = between(0, 0)  # epochs without improvement until training stops; 0: never
    patience_warmup: int = between(0, 0)  # epochs at first that do not count for patience
    min_change: float = between(0.0, 0)  # a smaller improvement is none
    save_every: int = between(0, 0)  # epochs between weights that are kept; 0: none are
    compile: str = one_of("auto", "on", "off")  # torch.compile; auto: where it pays
    tracker: str = one_of("none", "tensorboard", "wandb")  # follows metrics.csv
    device: str = one_of("auto", "cuda", "mps", "cpu")  # auto: the first of these that is there


@dataclass
class Tta:
    views: str = "none"  # flip, flips, d4, crop4, views8, views16, shift16, multiscale, or a list
    space: str = one_of("prob", "logit")  # what is averaged over the views


METHODS = ("rank", "vote", "hillclimb", "optimize", "stack")
POSTS = ("auto", "temperature", "thresholds", "cutoffs", "priors")


@dataclass
class Blend:
    runs: list[str] = field(default_factory=list)  # names, patterns ('exp0*'), NAME:VIEWS, NAME:*
    members: list[str] = field(default_factory=list)  # their recipes' hashes: taken, never said
    method: str = one_of("mean", *METHODS)  # how they become one
    space: str = one_of("prob", "logit")  # what is averaged: mean, hillclimb, optimize
    weights: list[float] = field(default_factory=list)  # one a run ([]: equal): mean, rank, vote
    metric: str = "auto"  # what weights are fitted for (auto: the competition's)
    steps: int = between(50, 1, 10_000)  # of a hill climb, at most
    stop: float = between(0.25, 0)  # standard errors: it ends where all that follows gains less
    bags: int = between(1, 1, 1000)  # climbs, each over a random half of the runs; 1: over all
    negative: bool = False  # a climb may subtract a run
    learner: str = one_of("logistic", "trees")  # of stack
    strength: float = between(10.0, 0.0001, 10_000)  # of the penalty of a logistic stack
    post: str = one_of("none", *POSTS)  # what is fitted at last; auto: what the metric wants
    resident_gb: float = between(1.0, 0)  # predictions of up to this size are kept in memory


@dataclass
class Config:
    config: str = "default"  # recipe: a file in src/configs/, or a path to a .yaml
    run: str = ""  # name of the run ('': <competition>-<config>)
    fold: str = "all"  # folds to train: 0..4, 0,2, 3 or all
    seed: int = between(0, 0, 2**32 - 1)  # of weights, order and augmentation
    debug: bool = False  # two batches of everything, in a run named …-debug
    overwrite: bool = False  # train the named folds again where they are finished
    checks: bool = True  # false: a leak between folds is marked in scores.json and not refused
    gpus: int = between(1, 1, 64)  # folds that are trained at once, each on a GPU of its own
    competition: Competition = field(default_factory=Competition)
    images: Images = field(default_factory=Images)
    folds: Folds = field(default_factory=Folds)
    data: Data = field(default_factory=Data)
    augment: Augment = field(default_factory=Augment)
    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    distill: Distill = field(default_factory=Distill)
    pseudo: Pseudo = field(default_factory=Pseudo)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    train: Train = field(default_factory=Train)
    tta: Tta = field(default_factory=Tta)
    blend: Blend = field(default_factory=Blend)


# Settings that say where or how fast, not what: they may differ within one run, and the recipe
# hash leaves them out. (The split and the labels have a hash of their own; competition.metric
# counts where it is watched.)
NOT_THE_RESULT = {
    *("config", "run", "fold", "overwrite", "checks", "gpus", "train.device", "train.eval_every"),
    *("train.save_every", "train.tracker"),
    *("images.resident_gb", "images.pack", "images.workers", "images.missing", "images.broken"),
    *("model.weights", "model.max_params"),  # of the file, model.weights_digest counts
    *("data.weights", "distill.run"),  # data.weights_digest and distill.recipe count
    *("pseudo.run", "pseudo.pool"),  # pseudo.recipe and pseudo.pool_digest count
    *("folds.k", "folds.method", "folds.group", "folds.rare", "folds.seed"),
    *("competition.slug", "competition.train", "competition.test", "competition.sample"),
    *("competition.metric", "competition.metrics", "competition.submission"),
    *("competition.threshold", "competition.thresholds", "competition.unsure"),
    "augment.preset",  # what it fills is in the other settings
    *("competition.columns.id", "competition.columns.label", "competition.separator"),
    *("blend.runs", "blend.resident_gb"),  # of the runs, blend.members counts
}

# Settings that decide labels shape the result of a run that watches one of these metrics, which
# score decided labels (`recall:CLASS` is one of them).
DECIDING = {"competition.threshold", "competition.thresholds", "competition.unsure"}
DECIDED = {
    *("accuracy", "balanced_accuracy", "f1", "f1_macro", "f1_micro", "f1_weighted", "f1_samples"),
    *("recall", "quadratic_weighted_kappa"),
}

# What is said often is short: `competition=X` is `competition.slug=X`, `tta=X` is `tta.views=X`.
ALIASES = {"competition": "competition.slug", "tta": "tta.views"}
