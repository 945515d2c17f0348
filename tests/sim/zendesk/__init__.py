# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A stateful, strict server of Zendesk's Support API. See README.md."""
