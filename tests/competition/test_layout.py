"""Competitions of every usual shape are read without being told, and bad ones are refused."""

from pathlib import Path

import pytest

from foldwise.competition.layout import load
from foldwise.competition.targets import sorted_classes
from foldwise.errors import FoldwiseError, UsageError

TRAIN = "id,label\n1,cat\n2,dog\n3,cat\n"
SAMPLE = "id,label\n8,cat\n9,cat\n"
IMAGES = ["train/1.png", "train/2.png", "train/3.png", "test/8.png", "test/9.png"]


def files_of(data, part="train"):
    frame = getattr(data, part)
    return [str(Path(file).relative_to(data.folder)) if file else "" for file in frame["file"]]


# Layouts ------------------------------------------------------------------------------------------


def test_table_beside_images(read):
    data = read({"train.csv": TRAIN, "sample_submission.csv": SAMPLE, "README.md": "x"}, IMAGES)
    assert list(data.train.columns) == ["id", "label", "file"]
    assert data.train["id"].tolist() == ["1", "2", "3"]
    assert data.train["label"].tolist() == ["cat", "dog", "cat"]
    assert data.train.index.tolist() == [0, 1, 2]
    assert files_of(data) == IMAGES[:3]
    assert data.test["id"].tolist() == ["8", "9"] and files_of(data, "test") == IMAGES[3:]
    assert list(data.test.columns) == ["id", "file"]
    assert data.sample.to_numpy().tolist() == [["8", "cat"], ["9", "cat"]]
    assert data.classes == ["cat", "dog"] and data.dropped == []
    assert all(Path(file).is_absolute() and Path(file).is_file() for file in data.train["file"])


# Tables and files as they were in Kaggle's competitions: (tables, images, the train files in order,
# the test files in order).
KAGGLE = {
    "dog breeds": (
        {
            "labels.csv": "id,breed\nab,pug\ncd,boxer\n",
            "sample_submission.csv": "id,boxer,pug\nef,1,0\n",
        },
        ["train/ab.jpg", "train/cd.jpg", "test/ef.jpg"],
        ["train/ab.jpg", "train/cd.jpg"],
        ["test/ef.jpg"],
    ),
    "whales": (
        {
            "train.csv": "Image,Id\na.jpg,w_1\nb.jpg,w_2\n",
            "sample_submission.csv": "Image,Id\nc.jpg,w_1\n",
        },
        ["train/a.jpg", "train/b.jpg", "test/c.jpg"],
        ["train/a.jpg", "train/b.jpg"],
        ["test/c.jpg"],
    ),
    "retinopathy": (
        {
            "trainLabels.csv": "image,level\n10_left,0\n10_right,2\n",
            "sampleSubmission.csv": "image,level\n1_left,0\n",
        },
        ["train/10_left.jpeg", "train/10_right.jpeg", "test/1_left.jpeg"],
        ["train/10_left.jpeg", "train/10_right.jpeg"],
        ["test/1_left.jpeg"],
    ),
    "aptos": (
        {
            "train.csv": "id_code,diagnosis\na0,2\nb0,4\n",
            "test.csv": "id_code\nc0\n",
            "sample_submission.csv": "id_code,diagnosis\nc0,0\n",
        },
        ["train_images/a0.png", "train_images/b0.png", "test_images/c0.png"],
        ["train_images/a0.png", "train_images/b0.png"],
        ["test_images/c0.png"],
    ),
    "cassava": (
        {
            "train.csv": "image_id,label\na.jpg,0\nb.jpg,3\n",
            "sample_submission.csv": "image_id,label\nc.jpg,4\n",
        },
        [
            "train_images/a.jpg",
            "train_images/b.jpg",
            "test_images/c.jpg",
            "train_tfrecords/x.tfrec",
        ],
        ["train_images/a.jpg", "train_images/b.jpg"],
        ["test_images/c.jpg"],
    ),
    "melanoma": (
        {
            "train.csv": "image_name,patient_id,sex,diagnosis,benign_malignant,target\n"
            "I_1,P,m,u,benign,0\nI_2,Q,f,u,malignant,1\n",
            "test.csv": "image_name,patient_id,sex\nI_3,R,f\n",
            "sample_submission.csv": "image_name,target\nI_3,0\n",
        },
        ["jpeg/train/I_1.jpg", "jpeg/train/I_2.jpg", "jpeg/test/I_3.jpg"],
        ["jpeg/train/I_1.jpg", "jpeg/train/I_2.jpg"],
        ["jpeg/test/I_3.jpg"],
    ),
    "paddy": (
        {
            "train.csv": "image_id,label,variety,age\n1.jpg,blast,ADT45,45\n2.jpg,hispa,KKM,50\n",
            "sample_submission.csv": "image_id,label\n200001.jpg,\n",
        },
        ["train_images/blast/1.jpg", "train_images/hispa/2.jpg", "test_images/200001.jpg"],
        ["train_images/blast/1.jpg", "train_images/hispa/2.jpg"],
        ["test_images/200001.jpg"],
    ),
    "cactus": (
        {
            "train.csv": "id,has_cactus\na.jpg,1\nb.jpg,0\n",
            "sample_submission.csv": "id,has_cactus\nc.jpg,0.5\n",
        },
        ["train/train/a.jpg", "train/train/b.jpg", "test/test/c.jpg"],
        ["train/train/a.jpg", "train/train/b.jpg"],
        ["test/test/c.jpg"],
    ),
    "one common folder": (
        {"train.csv": "image_id,species\nT_0,rust\nT_1,scab\n", "test.csv": "image_id\nE_0\n"},
        ["images/T_0.jpg", "images/T_1.jpg", "images/E_0.jpg"],
        ["images/T_0.jpg", "images/T_1.jpg"],
        ["images/E_0.jpg"],
    ),
    "drivers": (
        {
            "driver_imgs_list.csv": "subject,classname,img\np1,c0,1.jpg\np1,c1,2.jpg\n",
            "sample_submission.csv": "img,c0,c1\n9.jpg,0.5,0.5\n",
        },
        ["imgs/train/c0/1.jpg", "imgs/train/c1/2.jpg", "imgs/test/9.jpg"],
        ["imgs/train/c0/1.jpg", "imgs/train/c1/2.jpg"],
        ["imgs/test/9.jpg"],
    ),
    "beside each other, nothing named": (
        {"Train.CSV": "file_name,class\nb/1.bmp,x\n2,y\n"},
        ["a/b/1.bmp", "c/2.tif"],
        ["a/b/1.bmp", "c/2.tif"],
        None,
    ),
    "a path column beside ids": (
        {"train.csv": "id,filepath,label\n7,/kaggle/input/x/train/a/1.gif,u\n8,train/b/1.gif,v\n"},
        ["train/a/1.gif", "train/b/1.gif"],
        ["train/a/1.gif", "train/b/1.gif"],
        None,
    ),
    "semicolons and a BOM": (
        {"train.csv": b"\xef\xbb\xbfid;label\n1;x,y\n2;z\n"},
        ["train/1.gif", "train/2.TIFF"],
        ["train/1.gif", "train/2.TIFF"],
        None,
    ),
    "backslashes": (
        {"train.csv": "image,label\nday\\1.png,x\nnight\\1.png,y\n"},
        ["train/day/1.png", "train/night/1.png"],
        ["train/day/1.png", "train/night/1.png"],
        None,
    ),
    "another case and outer spaces": (
        {"train.csv": "image,label\nA.PNG,x\n b ,y\n"},
        ["train/a.png", "train/B.png"],
        ["train/a.png", "train/B.png"],
        None,
    ),
    "another extension": (
        {"train.csv": "image,label\n1.jpg,x\n2.jpg,y\n"},
        ["train/1.png", "train/2.png"],
        ["train/1.png", "train/2.png"],
        None,
    ),
}


@pytest.mark.parametrize("name", KAGGLE)
def test_kaggle_layout(read, name):
    tables, images, train, test = KAGGLE[name]
    data = read(tables, images)
    assert files_of(data) == train
    assert (None if data.test is None else files_of(data, "test")) == test
    assert len(data.classes) == 2


def test_folder_a_class(read):
    images = ["train/cat/1.jpg", "train/dog/x/1.jpg", "test/b.jpg", "test/a.jpg", "valid/cat/3.jpg"]
    data = read({}, images)
    assert data.train["id"].tolist() == ["cat/1.jpg", "dog/x/1.jpg"]
    assert data.train["label"].tolist() == ["cat", "dog"]
    assert files_of(data) == images[:2]
    assert data.test["id"].tolist() == ["a.jpg", "b.jpg"]  # the files of the test folder
    assert data.sample is None


def test_folder_a_class_with_a_sample(read):
    sample = {"sample_submission.csv": "file,species\nb.png,cat\na.png,cat\n"}
    data = read(sample, ["train/cat/1.png", "train/dog/1.png", "test/a.png", "test/b.png"])
    assert data.test["id"].tolist() == ["b.png", "a.png"]


def test_class_folders_without_a_train_folder(read):
    data = read({}, ["cat/1.jpg", "dog/1.jpg", "test/1.jpg"])
    assert data.train["id"].tolist() == ["cat/1.jpg", "dog/1.jpg"]
    assert data.test["id"].tolist() == ["1.jpg"]


def test_no_test_set(read):
    assert read({"train.csv": TRAIN}, IMAGES[:3]).test is None


def test_train_and_test_may_share_ids(read):
    tables = {"train.csv": TRAIN, "test.csv": "id\n1\n"}
    data = read(tables, ["train/1.png", "train/2.png", "train/3.png", "test/1.png"])
    assert files_of(data) == ["train/1.png", "train/2.png", "train/3.png"]
    assert files_of(data, "test") == ["test/1.png"]


def test_train_never_takes_test_images(read):
    tables = {"train.csv": TRAIN, "test.csv": "id\n1\n2\n3\n"}
    with pytest.raises(
        FoldwiseError, match=r"none of the 3 train ids has an image in input/x/ \(0"
    ):
        read(tables, ["test/1.png", "test/2.png", "test/3.png"])


def test_text_stays_text(read):
    data = read(
        {"train.csv": "id,label\n0001,NA\n1e5,null\n007,1.0\n"},
        ["a/0001.png", "a/1e5.png", "a/007.png"],
    )
    assert data.train["id"].tolist() == ["0001", "1e5", "007"]
    assert data.train["label"].tolist() == ["NA", "null", "1.0"]


def test_settings_name_everything(read):
    tables = {"a.csv": "key,kind,where,who\nk1,u,p/1.png,P\nk2,v,p/2.png,Q\n", "train.csv": TRAIN}
    tables |= {"b.csv": "key\nt1\n", "c.csv": "key,kind\nt1,u\n"}
    data = read(
        tables,
        ["one/p/1.png", "one/p/2.png", "two/t1.png", "train/1.png"],
        competition__train="a.csv",
        competition__test="b.csv",
        competition__sample="c.csv",
        competition__train_images="one",
        competition__test_images="two",
        competition__columns__id="key",
        competition__columns__label="kind",
        competition__columns__path="where",
        folds__group="who",
    )
    assert data.train["id"].tolist() == ["k1", "k2"] and data.classes == ["u", "v"]
    assert data.train["group"].tolist() == ["P", "Q"]
    assert files_of(data) == ["one/p/1.png", "one/p/2.png"]
    assert files_of(data, "test") == ["two/t1.png"]


def test_images_outside_the_folder(read, tmp_path, place):
    place({}, ["1.png", "2.png", "3.png"], slug="elsewhere")
    data = read({"train.csv": TRAIN}, competition__train_images="../elsewhere")
    assert [Path(file).parent.name for file in data.train["file"]] == ["elsewhere"] * 3


def test_path_as_slug(place, settings, tmp_path):
    folder = place({"train.csv": TRAIN}, IMAGES)
    assert load(settings(competition__slug=str(folder))).folder == folder
    assert load(settings(competition__slug="./input/x/")).folder == folder


def test_linked_image_folder(read, place, tmp_path):
    folder = place({"train.csv": TRAIN})
    place({}, ["1.png", "2.png", "3.png"], slug="elsewhere")
    (folder / "train").symlink_to(tmp_path / "input" / "elsewhere")
    (folder / "round").symlink_to(folder)  # must not be walked for ever
    assert files_of(read({})) == ["train/1.png", "train/2.png", "train/3.png"]


def test_classes_sorted_by_number():
    assert sorted_classes(["10", "9", "10", "-1"]) == ["-1", "9", "10"]
    assert sorted_classes(["10", "9", "a"]) == ["10", "9", "a"]


def test_given_classes(read):
    values = {"competition__classes": ["dog", "cat", "emu"]}
    assert read({"train.csv": TRAIN}, IMAGES, **values).classes == ["cat", "dog", "emu"]


def test_missing_images_dropped(read):
    tables = {"train.csv": TRAIN, "test.csv": "id\n8\n9\n"}
    data = read(tables, ["train/1.png", "train/2.png", "test/9.png"], images__missing="drop")
    assert data.train["id"].tolist() == ["1", "2"] and data.train.index.tolist() == [0, 1]
    assert data.dropped == ["3"]
    assert data.test["id"].tolist() == ["8", "9"] and files_of(data, "test") == ["", "test/9.png"]


def test_embedded_digits_are_written_first(home, settings):
    data = load(settings())
    assert len(data.train) + len(data.test) == 1797
    assert data.folder == home / "input" / "digits"


# What bad input gets: one line that says where and what to do -------------------------------------

BAD = {
    "no train table": (
        {"README.md": ""},
        ["test/1.png"],
        {},
        "input/x has no train table, no arrays and no folder a class: put a train.csv",
    ),
    "packed": ({"train.zip": ""}, [], {}, "input/x has no train table, but train.zip: unzip that"),
    "several tables": (
        {"a.csv": TRAIN, "b.csv": TRAIN},
        IMAGES,
        {},
        "no train.csv; the tables there are a.csv, b.csv: say which .* competition.train=a.csv",
    ),
    "train setting": (
        {"train.csv": TRAIN},
        IMAGES,
        {"competition__train": "trian.csv"},
        r"competition.train=trian.csv: no such file in input/x \(the tables there are train.csv\)"
        "; did you mean 'train.csv'",
    ),
    "label column": (
        {"train.csv": TRAIN},
        IMAGES,
        {"competition__columns__label": "lable"},
        "competition.columns.label=lable: input/x/train.csv has no such column; the columns there "
        "are id, label; did you mean 'label'",
    ),
    "id column": (
        {"train.csv": TRAIN},
        IMAGES,
        {"competition__columns__id": "key"},
        "competition.columns.id=key: .*the columns there are id, label",
    ),
    "path column": (
        {"train.csv": TRAIN},
        IMAGES,
        {"competition__columns__path": "key"},
        "competition.columns.path=key: .*the columns there are id, label",
    ),
    "group column": (
        {"train.csv": TRAIN},
        IMAGES,
        {"folds__group": "patient"},
        "folds.group=patient: input/x/train.csv has no such column",
    ),
    "unknown label column": (
        {"train.csv": "id,a,b\n1,2,3\n"},
        [],
        {},
        "train.csv has no column that is known to hold labels; the columns there are id, a, b: "
        "say competition.columns.label=NAME",
    ),
    "two label columns": (
        {"train.csv": "id,species,breed\n1,2,3\n"},
        [],
        {},
        "breed, species could each hold the labels: say which with competition.columns.label=breed",
    ),
    "unknown id column": (
        {"train.csv": "foo,bar,baz\n1,2,3\n"},
        [],
        {},
        "which column has the image ids.*foo, bar, baz: say competition.columns.id=NAME",
    ),
    "missing image": (
        {"train.csv": TRAIN},
        IMAGES[:2],
        {},
        r"train.csv: 1 of 3 train ids have no image in input/x/train/ \(2 images\): 3: add the "
        "images, or images.missing=drop leaves these rows out",
    ),
    "missing test image": (
        {"train.csv": TRAIN, "sample_submission.csv": SAMPLE},
        IMAGES[:4],
        {},
        "sample_submission.csv: 1 of 2 test ids have no image in input/x/test/ .*: 9: .*prior",
    ),
    "no image at all": (
        {"train.csv": TRAIN},
        [],
        {"images__missing": "drop"},
        "none of the 3 train ids has an image in input/x/ .* competition.train_images=FOLDER",
    ),
    "two images": (
        {"train.csv": TRAIN},
        [*IMAGES, "train/1.jpg"],
        {},
        "train id '1' fits two images, train/1.jpg and train/1.png in input/x",
    ),
    "train id twice": (
        {"train.csv": TRAIN + "1,dog\n"},
        IMAGES,
        {},
        r"train.csv has 1 train ids more than once: '1' \(rows 2, 5\): keep one row an id",
    ),
    "test id twice": (
        {"train.csv": TRAIN, "test.csv": "id\n8\n9\n8\n"},
        IMAGES,
        {},
        r"test.csv has 1 test ids more than once: '8' \(rows 2, 4\)",
    ),
    "sample id twice": (
        {"train.csv": TRAIN, "sample_submission.csv": SAMPLE + "8,cat\n"},
        IMAGES,
        {},
        "sample_submission.csv has 1 test ids more than once",
    ),
    "empty label": (
        {"train.csv": "id,label\n1,cat\n\n2,\n3,dog\n"},
        IMAGES,
        {},
        "train.csv row 4: column 'label' is empty: fill it in or delete the row",
    ),
    "empty id": ({"train.csv": TRAIN + " ,dog\n"}, IMAGES, {}, "row 5: column 'id' is empty"),
    "short row": ({"train.csv": TRAIN + "4\n"}, IMAGES, {}, "row 5: column 'label' is empty"),
    "empty group": (
        {"train.csv": "id,label,g\n1,cat,a\n2,dog,\n"},
        IMAGES,
        {"folds__group": "g"},
        "row 3: column 'g' is empty",
    ),
    "one class": (
        {"train.csv": "id,label\n1,cat\n2,cat\n"},
        IMAGES,
        {},
        "train.csv column 'label' has only one class, cat.*competition.columns.label",
    ),
    "sample differs": (
        {
            "train.csv": TRAIN,
            "test.csv": "id\n8\n9\n",
            "sample_submission.csv": "id,label\n8,0\n7,0\n",
        },
        IMAGES,
        {},
        r"test.csv and sample_submission.csv have different ids: 1 are only in sample_.*csv \(7\)",
    ),
    "not utf-8": (
        {"train.csv": "id,label\n1,cat\n2,größe\n".encode("latin-1")},
        IMAGES,
        {},
        "train.csv row 3 is not UTF-8 text: save the table as CSV in UTF-8",
    ),
    "empty table": ({"train.csv": "\n"}, IMAGES, {}, "input/x/train.csv is empty"),
    "header only": ({"train.csv": "id,label\n"}, IMAGES, {}, "a header and no rows"),
    "long row": (
        {"train.csv": TRAIN + "4,a,b\n"},
        IMAGES,
        {},
        "row 5 has 3 cells .* has 2: .*quotes",
    ),
    "doubled column": (
        {"train.csv": "id,id\n1,2\n"},
        IMAGES,
        {},
        "more than one column named 'id'",
    ),
    "two samples": (
        {"train.csv": TRAIN, "sample_submission_a.csv": SAMPLE, "sample_submission_b.csv": SAMPLE},
        IMAGES,
        {},
        "sample_submission_a.csv and sample_submission_b.csv could both be the sample",
    ),
    "image folder": (
        {"train.csv": TRAIN},
        IMAGES,
        {"competition__train_images": "trian"},
        r"competition.train_images=trian: no such folder in input/x \(the folders there are test, "
        r"train\); did you mean 'train'",
    ),
    "image folder without images": (
        {"train.csv": TRAIN, "other/x.txt": ""},
        IMAGES,
        {"competition__test_images": "other"},
        "competition.test_images=other: no images below input/x/other",
    ),
    "label outside": (
        {"train.csv": TRAIN},
        IMAGES,
        {"competition__classes": ["cat", "dogs"]},
        "labels that competition.classes does not name: dog; did you mean 'dogs'.*: add them",
    ),
    "loose images": (
        {},
        ["train/a/1.png", "train/b/1.png", "train/2.png"],
        {},
        r"input/x/train/ has a folder a class, and 1 images in none of them \(2.png\)",
    ),
    "one class folder": ({}, ["train/a/1.png"], {}, "input/x/train/ has only one class, a"),
    "group without a table": (
        {},
        ["train/a/1.png", "train/b/1.png"],
        {"folds__group": "g"},
        "folds.group=g: input/x/train/ has images without a table",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_competition(read, name):
    tables, images, values, message = BAD[name]
    with pytest.raises(FoldwiseError, match=message) as caught:
        read(tables, images, **values)
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


def test_classes_given_twice(read):
    with pytest.raises(UsageError, match="names a class twice"):
        read({"train.csv": TRAIN}, IMAGES, competition__classes=["cat", "cat", "dog"])


def test_many_missing_images_are_counted_and_the_first_five_named(read):
    rows = "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20))
    with pytest.raises(FoldwiseError, match=r"18 of 20 .*: 2, 3, 4, 5, 6 and 13 more: add"):
        read({"train.csv": "id,label\n" + rows}, ["train/0.png", "train/1.png"])


def test_absent_folder(place, settings):
    place({}, slug="cifar10")
    with pytest.raises(
        FoldwiseError, match="no folder input/cifar; did you mean 'cifar10'"
    ) as caught:
        load(settings(competition__slug="cifar"))
    assert "./run.sh download competition=cifar (from=FILE.zip" in str(caught.value)
    with pytest.raises(FoldwiseError, match="there is no folder data/cifar: get it with"):
        load(settings(competition__slug="./data/cifar"))


def test_file_in_place_of_the_folder(place, settings, home):
    place({})
    (home / "input" / "y").write_text("")
    with pytest.raises(FoldwiseError, match="input/y is a file"):
        load(settings(competition__slug="y"))


def test_empty_slug(home, settings):
    with pytest.raises(UsageError, match="competition= is empty"):
        load(settings(competition__slug=""))


def test_table_that_is_a_folder(read, home):
    (home / "input" / "x" / "train.csv").mkdir(parents=True)
    with pytest.raises(FoldwiseError, match="has no train table"):
        read({})


# What stood in the way of a stranger --------------------------------------------------------------


def test_folders_of_parts_are_no_classes(read):
    """Intel's scenes: seg_train/seg_train/CLASS, seg_test/seg_test/CLASS, seg_pred/seg_pred."""
    images = [f"seg_{p}/seg_{p}/{c}/{n}.png" for p in ("train", "test") for c in "ab" for n in "12"]
    data = read({}, [*images, "seg_pred/seg_pred/9.png"])
    assert data.classes == ["a", "b"] and len(data.train) == 4 and len(data.test) == 4
    assert all("seg_train" in file for file in data.train["file"])
    assert data.said[0].startswith("train: 4 rows of seg_train/seg_train/, a folder a class")


def test_numbered_parts_are_no_classes(read):
    with pytest.raises(FoldwiseError, match="no train table, no arrays and no folder a class"):
        read({}, ["images_part_1/1.png", "images_part_2/2.png"])


def test_labels_are_never_read_from_folders_or_past_tables(read, place):
    """The skin lesions: tables of other names beside two folders of images."""
    images = [f"HAM_part_{p}/ISIC_00{p}{n}.png" for p in (1, 2) for n in range(3)]
    table = "image_id,dx\n" + "".join(
        f"{Path(i).stem},{'ab'[n % 2]}\n" for n, i in enumerate(images)
    )
    tables = {"HAM_metadata.csv": table, "hmnist.csv": "a,b\n1,2\n"}
    with pytest.raises(
        FoldwiseError, match=r"tables there are HAM_metadata\.csv, hmnist\.csv: say"
    ):
        read(tables, images)
    data = read(tables, images, competition__train="HAM_metadata.csv")
    assert data.classes == ["a", "b"] and len(data.train) == 6


def test_rows_of_other_parts_are_left_out_and_said(read):
    rows = [f"{n},{'ab'[n % 2]},{'Training' if n < 4 else 'PublicTest'}\n" for n in range(6)]
    data = read({"train.csv": "id,label,Usage\n" + "".join(rows)}, [f"{n}.png" for n in range(6)])
    assert len(data.train) == 4
    assert "train: 4 rows of train.csv (2 more, test rows by 'Usage', are left out)" in data.said[0]


def test_a_validation_folder_is_said(read):
    images = [f"{p}/{c}/{n}.png" for p in ("train", "val") for c in "ab" for n in "12"]
    assert "(val/ with 4 images is left out)" in read({}, images).said[0]


def test_numbers_with_and_without_zeros(read):
    table = "id,label\n1,a\n2,b\n10,a\n"
    data = read({"train.csv": table}, [f"train/{n:04}.png" for n in (1, 2, 10)])
    assert files_of(data) == ["train/0001.png", "train/0002.png", "train/0010.png"]


def test_the_samples_header_tells_ids_and_labels(read):
    """StudyInstanceUID, and a column a class beside others."""
    train = "StudyInstanceUID,CVC,ETT,PatientID\n1.2,1,0,p\n1.3,1,1,q\n1.4,0,1,p\n"
    images = [f"train/1.{n}.png" for n in (2, 3, 4)] + ["test/1.5.png"]
    sample = "StudyInstanceUID,CVC,ETT\n1.5,0,0\n"
    data = read({"train.csv": train, "sample_submission.csv": sample}, images)
    assert (data.task, data.classes) == ("multilabel", ["CVC", "ETT"])


def test_the_samples_header_tells_the_number_to_predict(read):
    train = "Id,Eyes,Face,Pawpularity\na,1,0,63.5\nb,1,1,12\n"
    sample = "Id,Pawpularity\nc,50.5\n"
    data = read({"train.csv": train, "sample_submission.csv": sample},
                ["train/a.png", "train/b.png", "test/c.png"])  # fmt: skip
    assert (data.task, data.classes) == ("regression", ["Pawpularity"])


def test_tables_named_for_their_part_among_other_words(read):
    pixels = ",".join(f"pixel{n}" for n in range(36))
    row = ",".join(["7"] * 36)
    tables = {
        "fashion-mnist_train.csv": f"label,{pixels}\n0,{row}\n1,{row}\n",
        "fashion-mnist_test.csv": f"label,{pixels}\n0,{row}\n",
    }
    data = read(tables)
    assert len(data.train) == 2 and len(data.test) == 1


def test_everything_in_one_folder(read):
    tables = {f"comp-data/{name}": text for name, text in
              {"train.csv": TRAIN, "sample_submission.csv": SAMPLE}.items()}  # fmt: skip
    data = read(tables, [f"comp-data/{name}" for name in IMAGES])
    assert len(data.train) == 3 and data.folder.name == "comp-data"
