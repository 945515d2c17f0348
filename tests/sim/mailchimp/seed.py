# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What is in the account at the start: linked, realistic and awkward, the same for the same seed.

Awkward on purpose: names in several scripts, emails in mixed case, fields of every type, empty values, more members with
one and the same last_changed than fit a page, members who left by themselves, a recipient without `activity`.
"""

import random

from mailchimp.account import DC, User
from mailchimp.audience import Audience, id_of
from mailchimp.campaigns import LINKS, Campaign, Delivery
from mailchimp.members import Member

DAY = 86400
EQUAL_BLOCK = 1200   # members of one import share a second; a page holds 1,000
GIVEN = ("Ada", "Zoë", "Łukasz", "Jürgen", "Ольга", "Δημήτρης", "美咲", "عمر", "Siobhán", "Nguyễn", "Björk", "דוד", "Ana", "Renée",
         "Tom", "Ines")
FAMILY = ("Müller", "O'Brien", "Żak", "Иванова", "Παπαδόπουλος", "田中", "الفارسي", "de la Cruz", "Smith", "Nowak", "Kaya",
          "Lindström", "Rossi", "Dubois", "van Dijk", "Ng")
DOMAINS = ("post.example", "mail.example", "firma.example", "büro.example", "uni.example", "Wohnen.Example")
PLACES = ((52.52, 13.405, 1, 2, "DE", "europe/berlin", "BE"), (40.7128, -74.006, -5, -4, "US", "america/new_york", "NY"),
          (35.6762, 139.6503, 9, 9, "JP", "asia/tokyo", "13"), None)
LANGUAGES = ("de", "en", "ja", "fr", "", "pl")
PLANS = ("free", "team", "business 💼")
STATUSES = (["subscribed"] * 80 + ["unsubscribed"] * 8 + ["cleaned"] * 4 + ["pending"] * 3 + ["transactional"] * 1
            + ["archived"] * 4)
FIELDS = (
    ("FNAME", "First Name", "text", {}), ("LNAME", "Last Name", "text", {}),
    ("ADDRESS", "Address", "address", {"options": {"default_country": 164}}), ("PHONE", "Phone", "phone", {}),
    ("BIRTHDAY", "Birthday", "birthday", {}), ("LTV", "Lifetime value", "number", {}),
    ("SINCE", "Customer since", "date", {"options": {"date_format": "DD/MM/YYYY"}}), ("SITE", "Site", "url", {}),
    ("AVATAR", "Avatar", "imageurl", {}), ("PLAN", "Plan", "dropdown", {"options": {"choices": list(PLANS)}}),
    ("SIZE", "Size", "radio", {"options": {"choices": ["S", "M", "L"]}}), ("ZIP", "US zip", "zip", {}),
)
CATEGORIES = (("Topics", "checkboxes", ("News", "Sale", "Café ☕")), ("Frequency", "radio", ("weekly", "monthly")))
TAGS = ("VIP", "Newcomer", "churn risk", "Messe 2026", "größe-L")


def fill(account, options, now):
    """Users, two audiences (one with options.members), campaigns, automations, templates."""
    rng = random.Random(options.seed)
    now = int(now)
    account.member_since = now - 2000 * DAY
    users(account)
    big = audience(account, options.seed, 0, "Kund:innen", now)
    small = audience(account, options.seed, 1, "Press list", now)
    people(account, big, options.members, rng, now)
    people(account, small, min(options.members, 150), rng, now)
    for number in range(options.campaigns):
        campaign(account, big if number % 4 else small, number, options, rng, now)
    account.automations = automations(big, options.seed, now)
    account.templates = templates(now)


def users(account):
    key = "0123456789abcdef0123456789abcd"
    owner = User("owner", "owner")
    account.users = {
        f"{key}01-{DC}": owner, f"{key}02-{DC}": User("viewer", "viewer"),
        f"{key}03-{DC}": User("gone", "owner", account_active=False), "oauth-token-of-the-owner": User("owner (app)", "owner", of=owner),
    }
    account.app = ("client-1", "client-secret-1", "https://dray.example/callback", "oauth-token-of-the-owner")


def audience(account, seed, number, name, now):
    made = Audience(id_of("list", seed, number), name, now - (1500 - number) * DAY, account)
    account.lists[made.id] = made
    for tag, title, kind, more in FIELDS if number == 0 else FIELDS[:3]:
        made.fields.create({"tag": tag, "name": title, "type": kind, "public": tag.endswith("NAME"), **more})
    for place, (title, kind, names) in enumerate(CATEGORIES if number == 0 else CATEGORIES[:1]):
        category = {"id": id_of("category", made.id, title), "title": title, "type": kind, "display_order": place,
                    "interests": {}}
        made.categories[category["id"]] = category
        for order, interest in enumerate(names):
            key = id_of("interest", category["id"], interest)
            category["interests"][key] = {"id": key, "name": interest, "display_order": order + 1}
    made.renew_interests()
    if number == 0:
        made.permissions = {id_of("permission", "mail"): "Email", id_of("permission", "ads"): "Customized online advertising"}
    for name in TAGS:
        made.new_segment(name, "static", now - 300 * DAY)
    made.new_segment("Plan is business", "saved", now - 200 * DAY, {
        "match": "all", "conditions": [{"condition_type": "SelectMerge", "field": "PLAN", "op": "is", "value": PLANS[2]}]})
    return made


def people(account, made, count, rng, now):
    """`count` members. Each is made without going through the API: it must take microseconds."""
    tags = [segment for segment in made.segments.values() if segment["type"] == "static"]
    interests = made.interest_ids
    sets = [frozenset(rng.sample(interests, rng.randrange(len(interests) + 1))) for _ in range(32)]
    full = len(made.fields.by_tag) > 3
    block = now - 90 * DAY
    plain = count - min(EQUAL_BLOCK, count // 2)
    for number in range(count):
        draw = rng.getrandbits(48)
        first, last = GIVEN[draw & 15], FAMILY[draw >> 4 & 15]
        local = f"person{number}" if draw >> 8 & 3 else f"Person.{number}+list"
        # Oldest first; the tail of the audience came by one import.
        changed = now - 400 * DAY + 300 * DAY * (number // 3 * 3) // max(plain, 1) if number < plain else block
        status = STATUSES[(draw >> 10) % 100]
        member = Member(f"{local}@{DOMAINS[draw % 6]}", account.next_web_id(), status, changed)
        made.members[member.id] = member
        made.by_contact[member.contact_id] = member
        member.merge = {"FNAME": first, "LNAME": last} if draw >> 17 & 15 else {"LNAME": last}
        if full:
            extras(member, number, draw, now)
        member.interests = sets[draw >> 20 & 31]
        member.language, member.location = LANGUAGES[(draw >> 25) % 6], PLACES[draw >> 28 & 3]
        member.vip = not draw >> 30 & 63
        member.rating = 1 + (draw >> 36) % 5
        member.source = "Import from CSV" if number >= plain else "Admin Add"
        if draw >> 39 & 1:
            member.timestamp_signup, member.ip_signup = changed - 3600, "198.51.100.23"
        settle(member, status, changed, draw)
        if not draw >> 40 & 3:
            tag = tags[draw % len(tags)]
            member.tags[tag["id"]] = tag["members"][member.id] = changed
    made.version += 1


def extras(member, number, draw, now):
    """Fields of every type; each is empty for some."""
    merge = member.merge
    if draw >> 21 & 3:
        merge["LTV"] = (draw >> 3) % 100_000 if draw & 1 else (draw >> 3) % 1_000_000 / 100
    if not draw >> 23 & 3:
        merge["ADDRESS"] = {"addr1": f"Straße {number}", "addr2": "", "city": "Köln", "state": "NRW", "zip": "50667",
                            "country": "DE"}
    if draw >> 26 & 1:
        merge["PHONE"], merge["BIRTHDAY"] = f"+49 221 {number:06}", f"{1 + draw % 12:02}/{1 + draw % 28:02}"
    if draw >> 31 & 1:
        merge["SINCE"] = f"{2012 + draw % 13}-{1 + draw % 12:02}-{1 + draw % 28:02}"
    if draw >> 32 & 1:
        merge["PLAN"], merge["SIZE"] = PLANS[draw % 3], "SML"[draw % 3]
    if not draw >> 33 & 7:
        merge["SITE"], merge["AVATAR"] = f"https://p{number}.example/é", f"https://img.example/{number}.png"
        merge["ZIP"] = f"{10000 + number % 89999}"
        member.orders = (draw % 40, (draw >> 5) % 90000 / 100)
        member.note = (number, now - 40 * DAY, "Nora", "asked for a call 📞")


def settle(member, status, changed, draw):
    """What a status brings with it: why and when a member left, and whether it may come back by the API."""
    if status == "unsubscribed":
        by_itself = bool(draw >> 41 & 1)
        member.reason = "I no longer want to receive these emails" if by_itself else "N/A (Unsubscribed by admin)"
        member.unsubscribed_at, member.barred = changed, by_itself
    elif status == "cleaned":
        member.barred = True
    elif status != "subscribed" and draw >> 42 & 1:
        member.timestamp_opt = changed - DAY


def campaign(account, made, number, options, rng, now):
    kinds = ("sent", "sent", "sent", "save", "sent", "schedule")
    status = kinds[number % len(kinds)]
    created = now - (options.campaigns - number) * 9 * DAY - number * 60
    key = id_of("campaign", options.seed, number)
    one = Campaign(key, account.next_web_id(), "plaintext" if number % 5 == 4 else "regular", status, made,
                   f"Campaign {number}", ("Neues aus dem Norden ❄", "Sale", "お知らせ")[number % 3], created)
    account.campaigns[key] = one
    if status == "schedule":
        one.send_time = now + 3 * DAY
    if status != "sent":
        return
    one.send_time = created + 2 * 3600
    sent = [member for member in made.members.values() if member.status in ("subscribed", "unsubscribed", "cleaned")]
    for place, member in enumerate(sent[:options.recipients]):
        deliver(one, member, place, rng)


def deliver(one, member, place, rng):
    delivery = one.deliveries[member.id] = Delivery(member)
    draw = rng.getrandbits(20)
    if place == 2:
        delivery.activity = None
        return
    if member.status == "cleaned":
        kind = "hard" if draw & 1 else "soft"
        delivery.status = kind
        delivery.activity.append(("bounce", one.send_time + 60, "", kind))
        return
    for turn in range(draw & 3):
        delivery.activity.append(("open", one.send_time + 600 * (turn + 1) + draw % 300, "", ""))
    if draw & 3 and draw >> 2 & 1:
        delivery.activity.append(("click", one.send_time + 900 + draw % 300, LINKS[draw % 3], ""))
        if draw >> 3 & 1:  # two clicks within one second
            delivery.activity.append(("click", one.send_time + 900 + draw % 300, LINKS[draw % 3], ""))
    if member.status == "unsubscribed" and draw >> 4 & 1:
        delivery.left_at, delivery.reason = one.send_time + 3600, "None given"


def automations(made, seed, now):
    return [{
        "id": id_of("automation", seed, number), "create_time": now - (100 - number) * DAY,
        "start_time": now - (99 - number) * DAY if number else 0, "status": ("save", "sending", "paused")[number],
        "emails_sent": number * 250, "title": ("Welcome", "Birthday 🎂", "Win back")[number], "list": made,
        "workflow_type": ("welcomeSeries", "specialEvent", "dateAdded")[number],
    } for number in range(3)]


def templates(now):
    return [{"id": 10_000_100 + number, "type": ("user", "base", "gallery")[number % 3], "name": f"Template {number} ✉",
             "drag_and_drop": number % 2 == 0, "responsive": True, "category": "", "date_created": now - (60 - number) * DAY,
             "date_edited": now - (30 - number) * DAY if number % 2 else 0, "created_by": "Nora", "edited_by": "Nora",
             "active": True, "folder_id": "", "thumbnail": "", "share_url": "", "content_type": "template"}
            for number in range(12)]
