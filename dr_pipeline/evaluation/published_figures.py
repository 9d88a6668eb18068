"""Figures of others, to be shown beside one's own, and how the protocols differ: no two of them are the same test.

From public papers, repositories and reports, as noted in each row. Percentages are sensitivity and specificity for
referable disease (grade 2 or more) unless the row says otherwise.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published result; an empty text: not stated.

    Attributes:
        system: What graded.
        data: On which photographs.
        n: How many; 0: not stated.
        qwk: Quadratic weighted kappa.
        auc: Area under the ROC curve, referable disease.
        detection: Sensitivity / specificity in percent.
        differs: How its protocol differs from one photograph at a time, at a locked operating point, with ungradable
            photographs counted as referred.
    """

    system: str
    data: str
    n: int = 0
    qwk: str = ""
    auc: str = ""
    detection: str = ""
    differs: str = ""


PUBLISHED = (
    Published(
        "Fellow eye's grade, no model", "EyePACS, all patients", 88_702, "0.857", differs="the reader's own other label"
    ),
    Published(
        "Kaggle 2015, 2nd (o_O): one network, one image, 512 px",
        "EyePACS, 10 % of the patients",
        0,
        "0.80",
        differs="internal validation, thresholds fixed",
    ),
    Published(
        "Kaggle 2015, 2nd (o_O): final",
        "EyePACS, private part",
        0,
        "0.845",
        differs="both eyes blended, 50 views, ensemble",
    ),
    Published(
        "Huang 2023, ResNet-50, 512 px",
        "EyePACS, private part",
        42_670,
        "0.863",
        differs="both eyes fused; development and test from one programme",
    ),
    Published("SSiT, ViT-S, 384 px", "DDR, official test", 0, "0.819", differs="development and test from one set"),
    Published(
        "Kaggle 2019, 76th: one EfficientNet-B4",
        "APTOS, private part",
        11_000,
        "0.917",
        differs="patients unknown; the same network had 0.801 on the public part; n approximate",
    ),
    Published(
        "Kaggle 2019, 11th",
        "APTOS, private part",
        11_000,
        "0.930",
        differs="8 networks, pseudo-labels on the test photographs; 0.826 on the public part; n approximate",
    ),
    Published("DeepDRiD challenge, best", "DeepDRiD, challenge test", 0, "0.93", differs="two views of an eye"),
    Published(
        "FLAIR, zero-shot", "Messidor, a user's run", 0, "0.578", differs="no training for grades; the paper has more"
    ),
    Published(
        "Google's algorithm / regional graders",
        "Thailand, national programme",
        25_326,
        "0.85 / 0.78",
        detection="97 / 96",
        differs="adjudicated reference; in the later clinics over 20 % of the photographs were refused",
    ),
    Published(
        "Gulshan 2016, high specificity / high sensitivity",
        "EyePACS-1",
        9_963,
        detection="90.3 / 98.1; 97.5 / 93.4",
        differs="gradable photographs; majority of several ophthalmologists; operating points set in development",
    ),
    Published(
        "Gulshan 2016, high specificity / high sensitivity",
        "Messidor-2",
        1_748,
        detection="87.0 / 98.5; 96.1 / 93.9",
        differs="gradable photographs; majority of several ophthalmologists",
    ),
    Published(
        "Voets 2019, replication of Gulshan",
        "EyePACS, 8,792 by its script / Messidor-2",
        0,
        auc="0.951 / 0.853",
        differs="one grader; patients in training and test, see its repository's issues",
    ),
    Published("Ting 2017", "Singapore and ten other sets", 71_896, detection="90.5 / 91.6", differs="by image"),
    Published(
        "IDx-DR, pivotal trial",
        "ten primary-care sites",
        900,
        detection="87.2 / 90.7",
        differs="by patient; reading centre with widefield photographs and OCT; 96.1 % could be imaged",
    ),
    Published(
        "IDx-DR, routine care 2025",
        "one clinic",
        875,
        differs="26.1 % unanalysable, 10.5 % without a photograph undilated",
    ),
    Published("EyeArt, pivotal trial", "", 942, detection="96 / 88", differs="by eye; over 97 % gradable"),
    Published(
        "EyeArt, English screening programme",
        "30,405 episodes",
        30_405,
        detection="95.7 / 54.0",
        differs="by episode; technical failure counted as positive, as here",
    ),
    Published(
        "Seven commercial products",
        "Veterans Affairs",
        311_604,
        detection="51.0 to 85.9 / –",
        differs="by encounter, photographs of any quality, as here",
    ),
    Published(
        "Pegasus, desktop → handheld camera", "", 6_404, auc="0.985 → 0.894", differs="the same grader, another camera"
    ),
    Published(
        "EfficientNet-B3, internal → external",
        "community screening",
        1_452,
        detection="90.6 / 87.6 → 68.0 / 82.6",
        differs="any retinopathy (grade 1 or more), not referable",
    ),
    Published(
        "RETFound, internal → external",
        "community screening",
        1_452,
        detection="96.2 / 83.2 → 82.8 / 78.5",
        differs="any retinopathy (grade 1 or more), not referable",
    ),
)
