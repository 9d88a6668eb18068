"""Patient ids that are none: words and numbers written where the patient is unknown, and numbers that lost digits."""

import re
import statistics
from collections.abc import Collection, Iterable, Mapping

from dr_pipeline.intake.patient_spelling import pieces, plain_text, spelling_key
from dr_pipeline.schema import IdDoubt

# As `plain_text` leaves them, so without accents; blanks and separators are ignored: "N/A", "sin nombre", "k. A.".
_WORDS_TEXT = """
unknown unkn unk unknow unkown notknown unnamed unidentified noname nameless noid nopatient nopatientid nodata
none null nil nan void empty blank missing undefined unspecified unassigned notavailable notapplicable
notassigned notrecorded notprovided notspecified notgiven noinfo noinformation withheld redacted removed hidden
masked anon anonym anonymous anonymized anonymised anonymise anonymize deidentified deidentify
test tests tester testing testid dummy demo sample example placeholder default temp tbd tba tbc johndoe janedoe
doejohn doejane nobody
desconocido desconocida desconocidos sinnombre sinid sindatos sindato sinidentificar sinidentificacion anonimo
anonima anonimizado anonimizada ninguno ninguna nodisponible noaplica noidentificado noidentificada noconsta vacio
nulo nula prueba ejemplo noinformado
desconhecido desconhecida semnome semid semdados semidentificacao nenhum nenhuma naodisponivel naoaplicavel
naoidentificado naoidentificada naoinformado naoconsta vazio teste exemplo ignorado ignorada
inconnu inconnue inconnus anonyme anonymise anonymisee aucun aucune sansnom sansid nonrenseigne nonrenseignee
nondisponible indisponible noncommunique nonidentifie vide nulle essai exemple
unbekannt unbekannte unbekannter anonymisiert keine keiner keines kein ohne ohnename ohneid nichtbekannt
nichtverfugbar nichtvorhanden nichtangegeben keineangabe keinedaten fehlt fehlend leer platzhalter beispiel
sconosciuto sconosciuta ignoto ignota nessuno nessuna prova esempio nondisponibile
onbekend onbekende geen anoniem leeg nietbekend okand okant ukjent ukendt ingen tuntematon
nieznany nieznana nieznane brak anonimowy neznamy neznama bilinmiyor bilinmeyen yok isimsiz khongro khongco
tidakdiketahui tidakada takdiketahui kosong
неизвестно неизвестен неизвестныи неизвестная аноним анонимно нет нетданных безимени тест пусто невідомо
αγνωστο αγνωστοσ
未知 不详 不詳 不明 未明 无 無 无名 無名 无名氏 無名氏 匿名 未命名 未填 未填写 未提供 未登记 暂无 暫無 缺失 缺省 空
空白 空值 没有
测试 測試 示例 样例 默认 佚名 なし 無し テスト サンプル 名無し 未登録 미상 없음 알수없음 익명 테스트 모름 불명
مجهول مجهولة غيرمعروف غيرمتوفر لايوجد نامعلوم ندارد ناشناس لاشيء تجربة
अज्ञात अनजान नहीं परीक्षण कोईनहीं ไม่ทราบ ไม่มี ไม่ระบุ ทดสอบ ไม่ทราบชื่อ
"""
_WORDS = frozenset(_WORDS_TEXT.split())
# No id alone, and no reason to doubt a placeholder beside them: "Unknown patient", "ID: none", "patient".
_FILLERS_TEXT = """
patient patients pat pid patientid patid id ids mrn name number the subject case person paciente pacientes nombre
nome nom numero patientenid persona sujet sujeto pacient пациент 患者 病人 患者id 姓名 氏名 환자 مريض मरीज ผู้ป่วย
"""
_FILLERS = frozenset(_FILLERS_TEXT.split())
# Also initials, so that they count only where they are many.
_SHORT_TEXT = "na nd nr ns nc nn nk ka sd sn sc no non nao nein zz zzz qqq abc asdf x"
_SHORT = frozenset(_SHORT_TEXT.split())
_ERROR_VALUES = frozenset({"#n/a", "#name?", "#ref!", "#value!", "#null!", "#num!", "#div/0!"})  # of spreadsheets
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?e[+-]\d+")
_NO_NUMBER = re.compile(r"-(?:1|9+)(?:[.,]0+)?")  # -1, -9, -99
_NUMBER = re.compile(r"(?P<letters>[^\W\d_]{0,8})(?P<digits>\d{1,30})")
_RUNNING = "01234567890"
_LONG = 5  # digits; 999 may well be the 999th patient, 99999 hardly
_SPREADSHEET_DIGITS = 15  # a spreadsheet keeps so many digits of a number and writes 0 for the others
_LEAST_LOST_DIGITS = 3  # one id of 16 digits ends in 0 by chance in one of ten cases
_MANY = 3  # times as many photographs as another id has


def doubtful_ids(photographs: Mapping[str, int], declared: Iterable[str] = ()) -> dict[str, IdDoubt]:
    """The ids that name no person, or may name none.

    A word such as "unknown" is certain. Two letters such as NA, or a number such as 999, may be a person's; they are
    certain where they have many more photographs than other ids. A number is certain too where it is 0 or long and the
    ids are no running numbers that include it.

    Args:
        photographs: How many each id has, by id as the data set writes it; none is empty.
        declared: Further placeholders of this data set; spelling is ignored.

    Returns:
        By id, in the order of `photographs`.
    """
    plain = {name: plain_text(name) for name in photographs}
    keys = {name: spelling_key(name) for name in photographs}
    all_keys = frozenset(keys.values())
    declared_keys = {spelling_key(word) for word in declared}
    shortened = _shortened_by_spreadsheet(plain.values())
    usual = statistics.median(photographs.values()) if photographs else 0
    doubts: dict[str, IdDoubt] = {}
    for name, text in plain.items():
        if keys[name] in declared_keys or is_placeholder(text):
            doubts[name] = IdDoubt.PLACEHOLDER
        elif _SCIENTIFIC.fullmatch(text) or text in shortened:
            doubts[name] = IdDoubt.LOST_DIGITS
        elif doubt := _doubt_of_short_or_number(keys[name], all_keys, is_many=photographs[name] > _MANY * usual):
            doubts[name] = doubt
    return doubts


def is_placeholder(text: str) -> bool:
    """Whether a text as `plain_text` gives it is certainly no id."""
    words = pieces(text)
    joined = "".join(words)
    return (
        not words
        or text in _ERROR_VALUES
        or bool(_NO_NUMBER.fullmatch(text))
        or joined in _WORDS
        or (joined.isalpha() and len(joined) >= 3 and set(joined) == {"x"})
        or (joined in _SHORT and text != joined and len(words) > 1)  # N/A, k. A.
        or all(word in _WORDS or word in _FILLERS for word in words)
    )


def _doubt_of_short_or_number(key: str, keys: Collection[str], *, is_many: bool) -> IdDoubt | None:
    """The doubt about initials such as NA, and numbers such as 0, 999 or 123456, also behind letters, as P0000."""
    if key in _SHORT or key == "xx":
        return IdDoubt.PLACEHOLDER if is_many else IdDoubt.MAYBE_PLACEHOLDER
    match = _NUMBER.fullmatch(key)
    if not match or not _is_typed(match["digits"]):
        return None
    letters, number = match["letters"], int(match["digits"])
    if {f"{letters}{number - 1}", f"{letters}{number + 1}"} & set(keys):  # a running number, like its neighbours
        return (IdDoubt.MAYBE_PLACEHOLDER if number else IdDoubt.PLACEHOLDER) if is_many else None
    is_certain = is_many or (not letters and (number == 0 or len(match["digits"]) >= _LONG))
    return IdDoubt.PLACEHOLDER if is_certain else IdDoubt.MAYBE_PLACEHOLDER


def _is_typed(digits: str) -> bool:
    """0, 9, 99, …, or 12345, 111111 and the like: what is typed to fill a field."""
    if len(digits) < _LONG:
        return set(digits) in ({"0"}, {"9"})
    return digits in _RUNNING or len(set(digits)) == 1


def _shortened_by_spreadsheet(texts: Iterable[str]) -> frozenset[str]:
    """Numbers of more than 15 digits that all end in zeros from the 16th digit on, as a spreadsheet leaves them."""
    long = {text for text in texts if text.isdecimal() and len(text.lstrip("0")) > _SPREADSHEET_DIGITS}
    beyond = [text.lstrip("0")[_SPREADSHEET_DIGITS:] for text in long]
    if any(digits.strip("0") for digits in beyond) or sum(map(len, beyond)) < _LEAST_LOST_DIGITS:
        return frozenset()
    return frozenset(long)
