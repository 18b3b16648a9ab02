"""Errors a user can act on. Every message says what is wrong, where, and what to do."""


class CreditRiskError(Exception):
    """Base of all errors that are the input's fault, not the program's."""


class PortfolioError(CreditRiskError):
    """A portfolio file is wrong: the message names file, line, key and what is allowed."""


class DataError(CreditRiskError):
    """A table is wrong: the message names table or file, row, column and value where it can."""


class ParameterError(CreditRiskError):
    """A run's parameter is unknown, ill-typed or out of range."""


class BinningError(CreditRiskError, ValueError):
    """A binning cannot be made or edited as asked: the message names the variable, and the constraint or value."""


class OverridesError(CreditRiskError):
    """Overrides of binning are wrong: the message names file, line, variable, what is wrong and what is allowed."""


class ArtifactError(CreditRiskError):
    """A model file is missing, altered, or does not reproduce its own test vectors."""


class TooFewOutcomes(CreditRiskError):
    """What is asked for needs more matured outcomes than there are: the message has the numbers."""


class StepFailed(CreditRiskError):
    """A run that another run needs did not reach its end: the message names its folder."""


class LogError(CreditRiskError):
    """The prediction log cannot be reached, or has another schema than this version expects."""


def is_about_input(name: str) -> bool:
    """Whether an exception's name is one of these, so that its message says all and a traceback adds nothing."""
    kind = globals().get(name)
    return isinstance(kind, type) and issubclass(kind, CreditRiskError)
