# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The account behind the API: users and their keys, audiences, campaigns, automations, templates. Plain state, no HTTP."""

from mailchimp import problem
from mailchimp.audience import Audience, id_of

DC = "us21"


class Budget:
    """The connections of one user, over all keys and apps: requests in work, and refusals in a row."""

    def __init__(self):
        self.in_flight = self.refused = 0


class User:
    """Who a key or a token stands for. role: owner, admin, manager, author, viewer; only the first three may write.
    `of`: the user whose budget an app shares."""

    def __init__(self, name, role, account_active=True, of=None):
        self.name, self.role, self.active, self.revoked = name, role, account_active, False
        self.budget = of.budget if of else Budget()

    def may(self, method):
        return method == "GET" or self.role in ("owner", "admin", "manager")


class Account:
    def __init__(self):
        self.id = "8d3a3db4d97663a9074efcc16"
        self.name = "Nordlicht Trading"
        self.member_since = 0
        self.users = {}        # secret (API key or access token) -> User
        self.app = ()          # of OAuth: (client id, client secret, redirect uri, token)
        self.codes = {}        # OAuth code -> until when it is good
        self.lists = {}
        self.campaigns = {}
        self.automations = []
        self.templates = []
        self._web_id, self._segment_id = 441_000_000_000, 3_100_000

    def next_web_id(self):
        self._web_id += 1
        return self._web_id

    def next_segment_id(self):
        self._segment_id += 1
        return self._segment_id

    def new_list(self, body, now):
        made = Audience(id_of("list", self.id, len(self.lists), body["name"]), body["name"], int(now), self)
        made.double_optin = body.get("double_optin", False)
        made.settings = {name: value for name, value in body.items()
                         if name not in ("name", "double_optin", "marketing_permissions")}
        made.fields.create({"tag": "FNAME", "name": "First Name", "type": "text"})
        made.fields.create({"tag": "LNAME", "name": "Last Name", "type": "text"})
        self.lists[made.id] = made
        return made

    def audience(self, list_id):
        audience = self.lists.get(list_id)
        if audience is None:
            raise problem.not_found()
        return audience

    def campaign(self, campaign_id):
        campaign = self.campaigns.get(campaign_id)
        if campaign is None:
            raise problem.not_found()
        return campaign

    def user_of(self, secret):
        """Whom this secret stands for; a key of another data centre is as good as none."""
        user = self.users.get(secret)
        if user is None or user.revoked:
            raise problem.key_invalid()
        if not user.active:
            raise problem.deactivated()
        return user
