# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about what was sent: campaigns, reports with their details, automations, templates; the account itself."""

import urllib.parse

from mailchimp import problem, shapes
from mailchimp.account import DC
from mailchimp.shapes import moment_of
from mailchimp.shown import ONE, PAGE, links, page, picked

TYPES = ("regular", "plaintext", "absplit", "rss", "variate")
CODE_SECONDS = 600  # that a code of OAuth is good


def between(rows, query, names):
    """Those whose moments lie strictly inside what since_* and before_* say. `names`: query name -> getter."""
    for name, get in names.items():
        since, before = shapes.moment(query, "since_" + name), shapes.moment(query, "before_" + name)
        rows = [row for row in rows if (since is None or get(row) > since)
                and (before is None or (get(row) and get(row) < before))]
    return rows


class Reports:
    def __init__(self, account, clock):
        self.account, self.clock = account, clock

    def table(self):
        one, since = "/reports/{campaign_id}", ("since",)
        send, create = ("before_send_time", "since_send_time"), ("before_create_time", "since_create_time")
        return [
            ("GET", "/ping", lambda request: (200, {"health_status": "Everything's Chimpy!"}), (), None),
            ("GET", "/", self.root, ONE, None),
            ("GET", "/campaigns", self.campaigns, PAGE + send + create + ("type", "status", "list_id", "folder_id", "member_id",
                                                                          "sort_field", "sort_dir"), None),
            ("GET", "/campaigns/{campaign_id}", self.one_campaign, ONE, None),
            ("GET", "/reports", self.reports, PAGE + send + ("type",), None),
            ("GET", one, self.one_report, ONE, None),
            ("GET", one + "/email-activity", self.detail("emails", "email_activity", True), PAGE + since, None),
            ("GET", one + "/unsubscribed", self.detail("unsubscribes", "unsubscribed"), PAGE, None),
            ("GET", one + "/open-details", self.open_details, PAGE + since + ("sort_field", "sort_dir"), None),
            ("GET", one + "/click-details", self.detail("urls_clicked", "click_details"), PAGE + ("sort_field", "sort_dir"),
             None),
            ("GET", one + "/click-details/{link_id}/members", self.click_members, PAGE, None),
            ("GET", one + "/sent-to", self.detail("sent_to", "sent_to"), PAGE, None),
            ("GET", "/automations", self.automations, PAGE + create + ("before_start_time", "since_start_time", "status"), None),
            ("GET", "/templates", self.templates, PAGE + ("created_by", "since_date_created", "before_date_created", "type",
                                                          "category", "folder_id", "sort_field", "content_type", "sort_dir"),
             None),
        ]

    def root(self, request):
        account = self.account
        total = sum(audience.count("subscribed") for audience in account.lists.values())
        return 200, picked(request.query, {
            "account_id": account.id, "login_id": "198230", "account_name": account.name, "email": "nora@nordlicht.example",
            "first_name": "Nora", "last_name": "Åberg", "username": "nordlicht", "avatar_url": "", "role": request.user.role,
            "member_since": moment_of(account.member_since), "pricing_plan_type": "monthly", "first_payment": "",
            "account_timezone": "Europe/Berlin", "account_industry": "e-commerce",
            "contact": {"company": "Nordlicht", "addr1": "Deichstraße 1", "addr2": "", "city": "Hamburg", "state": "HH",
                        "zip": "20459", "country": "DE"},
            "pro_enabled": False, "last_login": moment_of(self.clock.now()), "total_subscribers": total,
            "industry_stats": {"open_rate": 0.21, "bounce_rate": 0.01, "click_rate": 0.02}, "_links": links("/")})

    # ---- campaigns and reports ----

    def campaigns(self, request):
        query = request.query
        kind, status = shapes.choice(query, "type", TYPES), shapes.choice(query, "status", ("save", "paused", "schedule",
                                                                                           "sending", "sent"))
        rows = [one for one in self.account.campaigns.values()
                if kind in (None, one.type) and status in (None, one.status)
                and query.get("list_id", one.audience.id) == one.audience.id
                and (not query.get("member_id") or query["member_id"] in one.deliveries)]
        rows = between(rows, query, {"create_time": lambda one: one.created, "send_time": lambda one: one.send_time})
        field = shapes.choice(query, "sort_field", ("create_time", "send_time"))
        down = shapes.choice(query, "sort_dir", ("ASC", "DESC")) == "DESC"
        if field:
            rows.sort(key=lambda one: one.created if field == "create_time" else one.send_time, reverse=down)
        return 200, page(query, "campaigns", rows, lambda one: one.show(), "/campaigns")

    def one_campaign(self, request):
        return 200, picked(request.query, self.account.campaign(request.params["campaign_id"]).show())

    def sent(self, request):
        one = self.account.campaign(request.params["campaign_id"])
        if one.status != "sent":
            raise problem.not_found()
        return one

    def reports(self, request):
        kind = shapes.choice(request.query, "type", TYPES)
        # No order is promised, so the newest come first, as the vendor does.
        rows = [one for one in reversed(self.account.campaigns.values()) if one.status == "sent" and kind in (None, one.type)]
        rows = between(rows, request.query, {"send_time": lambda one: one.send_time})
        return 200, page(request.query, "reports", rows, lambda one: one.show_report(), "/reports")

    def one_report(self, request):
        return 200, picked(request.query, self.sent(request).show_report())

    def detail(self, name, method, with_since=False):
        def handler(request):
            one = self.sent(request)
            since = (shapes.moment(request.query, "since"),) if with_since else ()
            rows = getattr(one, method)(*since)
            return 200, page(request.query, name, rows, lambda row: row, f"/reports/{one.id}", campaign_id=one.id)
        return handler

    def open_details(self, request):
        one = self.sent(request)
        rows = one.open_details(shapes.moment(request.query, "since"))
        if shapes.choice(request.query, "sort_field", ("opens_count",)):
            rows.sort(key=lambda row: row["opens_count"], reverse=request.query.get("sort_dir") == "DESC")
        return 200, page(request.query, "members", rows, lambda row: row, f"/reports/{one.id}/open-details",
                         campaign_id=one.id, total_opens=sum(row["opens_count"] for row in rows))

    def click_members(self, request):
        one, link = self.sent(request), request.params["link_id"]
        if link not in [row["id"] for row in one.click_details()]:
            raise problem.not_found()
        return 200, page(request.query, "members", one.click_members(link), lambda row: row,
                         f"/reports/{one.id}/click-details/{link}/members", campaign_id=one.id)

    # ---- automations and templates ----

    def automations(self, request):
        status = shapes.choice(request.query, "status", ("save", "paused", "sending"))
        rows = [one for one in self.account.automations if status in (None, one["status"])]
        rows = between(rows, request.query, {"create_time": lambda one: one["create_time"],
                                             "start_time": lambda one: one["start_time"]})
        return 200, page(request.query, "automations", rows, self.show_automation, "/automations")

    def show_automation(self, one):
        return {"id": one["id"], "create_time": moment_of(one["create_time"]), "start_time": moment_of(one["start_time"]),
                "status": one["status"], "emails_sent": one["emails_sent"],
                "recipients": {"list_id": one["list"].id, "list_is_active": True, "list_name": one["list"].name,
                               "store_id": ""},
                "settings": {"title": one["title"], "from_name": "Nordlicht", "reply_to": "post@nordlicht.example",
                             "use_conversation": False, "to_name": "", "authenticate": True, "auto_footer": False,
                             "inline_css": False},
                "tracking": {"opens": True, "html_clicks": True, "text_clicks": False, "goal_tracking": False,
                             "ecomm360": False, "google_analytics": "", "clicktale": ""},
                "trigger_settings": {"workflow_type": one["workflow_type"], "workflow_title": one["title"],
                                     "workflow_emails_count": 1},
                "report_summary": {"opens": 0, "unique_opens": 0, "open_rate": 0, "clicks": 0, "subscriber_clicks": 0,
                                   "click_rate": 0},
                "_links": links(f"/automations/{one['id']}")}

    def templates(self, request):
        query = request.query
        rows = [one for one in self.account.templates
                if all(query.get(name, str(one[name])) == str(one[name])
                       for name in ("type", "category", "folder_id", "created_by", "content_type"))]
        rows = between(rows, query, {"date_created": lambda one: one["date_created"]})
        field = shapes.choice(query, "sort_field", ("date_created", "date_edited", "name"))
        if field:
            rows.sort(key=lambda one: one[field], reverse=shapes.choice(query, "sort_dir", ("ASC", "DESC")) == "DESC")
        return 200, page(query, "templates", rows, lambda one: {
            **one, "date_created": moment_of(one["date_created"]), "date_edited": moment_of(one["date_edited"]),
            "_links": links(f"/templates/{one['id']}")}, "/templates")


class OAuth:
    """login.mailchimp.com: the token for a code, and the metadata that tells the data centre."""

    def __init__(self, account, clock):
        self.account, self.clock, self.granted = account, clock, 0

    def metadata(self, request):
        """A bad token gets 200 too, only without dc and api_endpoint."""
        word, _, token = (request.header("authorization") or "").partition(" ")
        user = self.account.users.get(token.strip()) if word in ("OAuth", "Bearer") else None
        if user is None or user.revoked:
            return 200, {"error": "invalid_token", "error_description": "Invalid or expired access token"}
        return 200, {"dc": DC, "role": user.role, "accountname": self.account.name, "user_id": 198230,
                     "login": {"email": "nora@nordlicht.example", "avatar": None, "login_id": 198230,
                               "login_name": "nordlicht", "login_email": "nora@nordlicht.example"},
                     "login_url": "https://login.mailchimp.com", "api_endpoint": request.base.replace("//login.mailchimp.com", f"//{DC}.api.mailchimp.com")}

    def authorize(self, request):
        """The page where the user says yes; here that is said at once and the browser sent back with a code."""
        query = request.query
        client, _, redirect, _ = self.account.app
        if (query.get("client_id"), query.get("redirect_uri"), query.get("response_type")) != (client, redirect, "code"):
            return 400, {"error": "invalid_request"}
        self.granted += 1
        code = f"code-{self.granted}"
        self.account.codes[code] = self.clock.now() + CODE_SECONDS
        back = urllib.parse.urlencode({"code": code, **({"state": query["state"]} if "state" in query else {})})
        return 302, None, [("Location", f"{redirect}?{back}")]

    def token(self, request):
        form = dict(request.form)
        client, secret, redirect, token = self.account.app
        if form.get("grant_type") != "authorization_code":
            return 400, {"error": "unsupported_grant_type"}
        if form.get("client_id") != client or form.get("client_secret") != secret:
            return 401, {"error": "invalid_client"}
        until = self.account.codes.pop(form.get("code"), 0)  # good for one attempt
        if until < self.clock.now() or form.get("redirect_uri") != redirect:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": token, "expires_in": 0, "scope": None}
