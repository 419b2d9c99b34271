import os
import subprocess
import sys


def test_log_holds_records_warnings_and_the_error_that_ended_the_process(tmp_path):
    log = tmp_path / "job.log"
    program = (
        "import logging, warnings; from modelsoups.base.logs import log_to; "
        f"log_to({str(log)!r}); logging.info('started'); warnings.warn('careful'); "
        "raise ValueError('what, where, what to do')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "what, where, what to do" in done.stderr
    text = log.read_text()
    for part in ("INFO started", "careful", "ValueError: what, where, what to do"):
        assert part in text


def test_log_is_utf8_whatever_the_locale(tmp_path):
    log = tmp_path / "job.log"
    program = (
        "import logging; from modelsoups.base.logs import log_to; "
        f"log_to({str(log)!r}); logging.info('gr\\xf6\\xdfer')"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert "INFO größer" in log.read_text(encoding="utf-8")
