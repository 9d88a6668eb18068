"""The shipped recipes, by name; their values stand in the YAML files beside this one."""

NAMES = (
    "synthetic",
    "idrid",
    "aptos2019",
    "eyepacs",
    "ddr",
    "deepdrid",
    "messidor2_google",
    "gdrbench",
    "sources",
    "brset",
    "mbrset",
    "folder",
    "retfound_folders",
    "kaggle_folders",
    "datalist",
)
# Links in the data folder that a real recipe reads through.
SOURCE_LINK = "source"
SOURCE_LINKS = "sources"  # a folder of links, one for each of several sources
WEIGHTS_LINK = "weights"
LESION_LINK = "lesion_source"
