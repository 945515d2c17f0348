# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of tools/bench. A suite (diff.py) is a list of benches; a bench yields rows (rows.py)."""
