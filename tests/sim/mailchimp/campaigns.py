# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Campaigns and what became of them: one Delivery for each recipient holds its opens, clicks, bounces and its leaving.

The counts of reports are made from the deliveries, so that reports and details never disagree.
"""

from mailchimp.shown import API
from mailchimp.shapes import moment_of

LINKS = ("https://shop.nordlicht.example/new?utm=mail", "https://shop.nordlicht.example/sale",
         "https://nordlicht.example/blog/größen-und-maße")


class Delivery:
    """One email to one recipient. activity: [(action, seconds, url or "", kind or "")]; None: the key is missing, as happens."""

    __slots__ = ("email_id", "email", "vip", "status", "activity", "left_at", "reason", "merge")

    def __init__(self, member):
        self.email_id, self.email, self.vip, self.merge = member.id, member.email, member.vip, member.merge
        self.status, self.activity, self.left_at, self.reason = "sent", [], 0, ""

    def of(self, action):
        return [entry for entry in self.activity or () if entry[0] == action]


class Campaign:
    def __init__(self, campaign_id, web_id, kind, status, audience, title, subject, created):
        self.id, self.web_id, self.type, self.status = campaign_id, web_id, kind, status
        self.audience, self.title, self.subject, self.created = audience, title, subject, created
        self.send_time = 0
        self.deliveries = {}

    # ---- counts ----

    def entries(self, action):
        return [entry for delivery in self.deliveries.values() for entry in delivery.of(action)]

    def having(self, action):
        return [delivery for delivery in self.deliveries.values() if delivery.of(action)]

    def rate(self, count):
        return round(count / len(self.deliveries), 10) if self.deliveries else 0

    # ---- shown ----

    def show(self):
        sent = len(self.deliveries)
        shown = {
            "id": self.id, "web_id": self.web_id, "parent_campaign_id": "", "type": self.type,
            "create_time": moment_of(self.created), "archive_url": f"http://eepurl.com/{self.id}",
            "long_archive_url": f"https://mailchi.mp/{self.id}", "status": self.status, "emails_sent": sent,
            "send_time": moment_of(self.send_time), "content_type": "template", "needs_block_refresh": False,
            "resendable": self.status == "sent",
            "recipients": {"list_id": self.audience.id, "list_is_active": True, "list_name": self.audience.name,
                           "segment_text": "", "recipient_count": sent or self.audience.count("subscribed")},
            "settings": {"subject_line": self.subject, "preview_text": "", "title": self.title, "from_name": "Nordlicht",
                         "reply_to": "post@nordlicht.example", "use_conversation": False, "to_name": "*|FNAME|*",
                         "folder_id": "", "authenticate": True, "auto_footer": False, "inline_css": False,
                         "auto_tweet": False, "fb_comments": True, "timewarp": False, "template_id": 100,
                         "drag_and_drop": True},
            "tracking": {"opens": True, "html_clicks": True, "text_clicks": False, "goal_tracking": False,
                         "ecomm360": False, "google_analytics": "", "clicktale": ""},
            "delivery_status": {"enabled": False},
            "_links": [{"rel": "self", "href": f"{API}/campaigns/{self.id}", "method": "GET"}],
        }
        if self.status == "sent":
            opens, clicks = len(self.entries("open")), len(self.entries("click"))
            shown["report_summary"] = {
                "opens": opens, "unique_opens": len(self.having("open")), "open_rate": self.rate(len(self.having("open"))),
                "clicks": clicks, "subscriber_clicks": len(self.having("click")),
                "click_rate": self.rate(len(self.having("click"))),
                "ecommerce": {"total_orders": 0, "total_spent": 0, "total_revenue": 0}}
        return shown

    def show_report(self):
        opened, clicked = self.having("open"), self.having("click")
        opens, clicks = self.entries("open"), self.entries("click")
        bounces = self.entries("bounce")
        return {
            "id": self.id, "campaign_title": self.title, "type": self.type, "list_id": self.audience.id,
            "list_is_active": True, "list_name": self.audience.name, "subject_line": self.subject, "preview_text": "",
            "emails_sent": len(self.deliveries), "abuse_reports": 0,
            "unsubscribed": sum(delivery.left_at > 0 for delivery in self.deliveries.values()),
            "send_time": moment_of(self.send_time),
            "bounces": {"hard_bounces": sum(entry[3] == "hard" for entry in bounces),
                        "soft_bounces": sum(entry[3] == "soft" for entry in bounces), "syntax_errors": 0},
            "forwards": {"forwards_count": 0, "forwards_opens": 0},
            "opens": {"opens_total": len(opens), "unique_opens": len(opened), "open_rate": self.rate(len(opened)),
                      "last_open": moment_of(max((entry[1] for entry in opens), default=0))},
            "clicks": {"clicks_total": len(clicks), "unique_clicks": len({entry[2] for entry in clicks}),
                       "unique_subscriber_clicks": len(clicked), "click_rate": self.rate(len(clicked)),
                       "last_click": moment_of(max((entry[1] for entry in clicks), default=0))},
            "facebook_likes": {"recipient_likes": 0, "unique_likes": 0, "facebook_likes": 0},
            "list_stats": {"sub_rate": 0, "unsub_rate": 0, "open_rate": 21.5, "click_rate": 3.25},
            "ecommerce": {"total_orders": 0, "total_spent": 0, "total_revenue": 0, "currency_code": "EUR"},
            "delivery_status": {"enabled": False}, "timeseries": [],
            "_links": [{"rel": "self", "href": f"{API}/reports/{self.id}", "method": "GET"}],
        }

    def _row(self, delivery, **more):
        return {"campaign_id": self.id, "list_id": self.audience.id, "list_is_active": True,
                "email_id": delivery.email_id, "email_address": delivery.email, **more,
                "_links": [{"rel": "parent", "href": f"{API}/reports/{self.id}", "method": "GET"}]}

    def _person(self, delivery, **more):
        merge = {tag: delivery.merge.get(tag, "") for tag in self.audience.fields.view()}
        return self._row(delivery, merge_fields=merge, vip=delivery.vip, **more)

    def email_activity(self, since):
        rows = []
        for delivery in self.deliveries.values():
            if delivery.activity is None:  # the vendor leaves the key out for some
                if since is None:
                    rows.append(self._row(delivery))
                continue
            shown = []
            for action, seconds, url, kind in delivery.activity:
                if since is None or seconds > since:
                    entry = {"action": action, "timestamp": moment_of(seconds), "ip": "203.0.113.7"}
                    entry.update({"url": url} if url else {}, **({"type": kind} if kind else {}))
                    shown.append(entry)
            if shown or since is None:
                rows.append(self._row(delivery, activity=shown))
        return rows

    def unsubscribed(self):
        return [self._person(delivery, timestamp=moment_of(delivery.left_at), reason=delivery.reason)
                for delivery in self.deliveries.values() if delivery.left_at]

    def open_details(self, since):
        rows = []
        for delivery in self.deliveries.values():
            opens = [entry[1] for entry in delivery.of("open") if since is None or entry[1] > since]
            if opens:
                rows.append(self._person(delivery, contact_status=self._status(delivery), opens_count=len(opens),
                                         opens=[{"timestamp": moment_of(seconds)} for seconds in opens]))
        return rows

    def _status(self, delivery):
        member = self.audience.members.get(delivery.email_id)
        return member.status if member else ""

    def link_id(self, url):
        return f"{self.id[:6]}{LINKS.index(url)}" if url in LINKS else f"{self.id[:6]}x"

    def click_details(self):
        clicks = self.entries("click")
        rows = []
        for url in sorted({entry[2] for entry in clicks}):
            total = sum(entry[2] == url for entry in clicks)
            people = [delivery for delivery in self.having("click") if any(e[2] == url for e in delivery.of("click"))]
            rows.append({"id": self.link_id(url), "url": url, "total_clicks": total,
                         "click_percentage": total / len(clicks), "unique_clicks": len(people),
                         "unique_click_percentage": len(people) / len(self.having("click")),
                         "last_click": moment_of(max(entry[1] for entry in clicks if entry[2] == url)),
                         "campaign_id": self.id, "_links": []})
        return rows

    def click_members(self, link_id):
        rows = []
        for delivery in self.having("click"):
            clicks = sum(self.link_id(entry[2]) == link_id for entry in delivery.of("click"))
            if clicks:
                rows.append(self._person(delivery, clicks=clicks, url_id=link_id,
                                         contact_status=self._status(delivery)))
        return rows

    def sent_to(self):
        return [self._person(delivery, status=delivery.status, open_count=len(delivery.of("open")),
                             last_open=moment_of(max((entry[1] for entry in delivery.of("open")), default=0)),
                             gmt_offset=0)
                for delivery in self.deliveries.values()]
