"""Which speaker is the service: the one that was named, by usual names, or by who answers."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from parlai_cu.data.base import (
    CONTEXT,
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
)
from parlai_cu.data.columns import plain
from parlai_cu.errors import UsageError, nearest

_SERVICE = """
    assistant | bot | chatbot | agent | service | support | operator | advisor | adviser
    | representative | rep | helpdesk | help desk | staff | employee | consultant | gpt | chatgpt
    | ai | model | outgoing | sales | team | hotline | customer service | customer support
    | customer care | client service | answer | shop assistant | clerk | reception | admin
    | teammate | berater | beraterin | mitarbeiter | mitarbeiterin | kundenservice | kundendienst
    | kundenberater | sachbearbeiter | antwort | soporte | agente | asesor | asesora | operador
    | atencion al cliente | asistente | servicio | conseiller | conseillere | assistante
    | service client | operateur | operatore | operatrice | assistente | servizio clienti
    | suporte | atendente | medewerker | klantenservice | adviseur | konsultant | obsluga
    | doradca | оператор | поддержка | консультант | бот | ассистент | destek | temsilci
    | asistan | kundtjanst | kundeservice | asiakaspalvelu | 客服 | 坐席 | 客服人员
    | オペレーター | サポート | 担当者 | 상담원 | دعم | الدعم | موظف | خدمة العملاء | נציג
    | שירות
"""
_USER = """
    user | customer | client | human | visitor | guest | caller | contact | lead | end user
    | enduser | requester | buyer | shopper | patient | incoming | member | question | person
    | consumer | subscriber | passenger | you | me | q | kunde | kundin | nutzer | nutzerin
    | anrufer | anruferin | gast | frage | cliente | usuario | usuaria | utilisateur
    | utilisatrice | utente | visitatore | klant | gebruiker | klient | klientka | uzytkownik
    | клиент | пользователь | посетитель | musteri | kullanici | kund | bruker | bruger | asiakas
    | 用户 | 客户 | 顾客 | 顧客 | お客様 | 客 | ユーザー | 고객 | عميل | العميل | مستخدم | زبون
    | לקוח | משתמש
"""
# who is in so many of the conversations, where nobody else is in half of them, answers
_IN_MOST = 0.8


def _set(names: str) -> frozenset[str]:
    return frozenset(plain(name) for name in names.split("|"))


SERVICE_NAMES, USER_NAMES = _set(_SERVICE), _set(_USER)


def role_of(name: str) -> str:
    """The role that a name tells; empty where it tells none."""
    wanted = plain(name)
    if not wanted:
        return ""
    for names, role in ((SERVICE_NAMES, SERVICE), (USER_NAMES, USER)):
        if wanted in names:
            return role
    words = wanted.split()
    # "customer support", "support (Anna)", "customer 42"
    for names, role in ((SERVICE_NAMES, SERVICE), (USER_NAMES, USER)):
        phrases = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, i + 4)}
        if len(words) > 1 and phrases & names:
            return role
    return SERVICE if words[-1].endswith(("bot", "service")) else ""


def assign(reading: Reading, options: ReadOptions, where: str) -> str | None:
    """
    Give everybody who has none a role; the name of the service, where it had to be found.

    :raises UsageError: where it cannot be told who the service is
    """
    _system_answers(reading)
    unknown = Counter(
        u.speaker for c in reading.conversations for u in c.utterances if _open(u.role, options)
    )
    if not unknown:
        return None
    if options.service is not None:
        service = _named(options.service, unknown, where)
        _apply(reading, lambda name: SERVICE if name == service else USER, options)
        return service
    roles = {name: role_of(name) for name in unknown}
    heard = [u.role for c in reading.conversations for u in c.utterances]
    served = SERVICE in roles.values() or SERVICE in heard
    asked = USER in roles.values() or USER in heard
    if served or asked:
        other = USER if served else SERVICE
        _apply(reading, lambda name: roles.get(name) or other, options)
        names = [name for name in unknown if (roles[name] or other) == SERVICE]
        return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or None
    service = _who_answers(reading.conversations, unknown) or _ask(options, list(unknown), where)
    _apply(reading, lambda name: SERVICE if name == service else USER, options)
    return service


def _open(role: str, options: ReadOptions) -> bool:
    return not role or (options.service is not None and role != CONTEXT)


def _system_answers(reading: Reading) -> None:
    """In corpora of user and system the system is the service, where nobody else is."""
    said = [u for c in reading.conversations for u in c.utterances]
    if any(one.role in (SERVICE, "") for one in said):
        return
    answering = sum(
        any(a.role == USER and _is_system(b) for a, b in zip(c.utterances, c.utterances[1:]))
        for c in reading.conversations
    )
    if 2 * answering > len(reading.conversations):
        reading.change(lambda one: replace(one, role=SERVICE) if _is_system(one) else one)


def _is_system(utterance: Utterance) -> bool:
    return utterance.role == CONTEXT and utterance.speaker.casefold() == "system"


def _apply(reading: Reading, role: Callable[[str], str], options: ReadOptions) -> None:
    reading.change(lambda u: replace(u, role=role(u.speaker)) if _open(u.role, options) else u)


def _named(service: str, known: Iterable[str], where: str) -> str:
    known = list(known)
    for name in known:
        if plain(name) == plain(service):
            return name
    close = nearest(service, known) or known[:5]
    raise UsageError(
        f"--service-speaker {service}: {where} has no such speaker; nearest: {', '.join(close)}"
    )


def _who_answers(conversations: Sequence[Conversation], names: Iterable[str]) -> str | None:
    """Who is in nearly all conversations while others change; else who answers questions."""
    names = list(names)
    if len(names) == 1:
        return None
    present = Counter(name for c in conversations for name in {u.speaker for u in c.utterances})
    (first, most), (_, second) = present.most_common(2)
    if len(conversations) > 2 and most >= _IN_MOST * len(conversations):
        if second < len(conversations) / 2:
            return first
    answered: Counter[str] = Counter()
    for conversation in conversations:
        said = conversation.utterances
        for one, other in zip(said, said[1:]):
            if one.speaker != other.speaker and one.text.rstrip()[-1:] in ("?", "？", "؟"):
                answered[other.speaker] += 1
    if not answered:
        return None
    ranked = answered.most_common(2)
    best, runner_up = ranked[0][1], ranked[1][1] if len(ranked) > 1 else 0
    return ranked[0][0] if best >= 3 and best >= 3 * runner_up else None


def _ask(options: ReadOptions, names: list[str], where: str) -> str:
    shown = tuple(names[:8])
    if options.ask is not None:
        return options.ask(f"{where}: who of them is the service?", shown)
    raise UsageError(
        f"{where}: it cannot be told who is the service; speakers: {', '.join(shown)}. "
        "Say who: --service-speaker NAME"
    )
