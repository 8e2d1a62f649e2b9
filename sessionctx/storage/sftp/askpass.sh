#!/bin/sh
# What ssh runs (SSH_ASKPASS) to be told a password, which is in the environment of this ssh alone. It is given only
# where that account on that host is asked for it: not to jump hosts, nor as the passphrase of a key.
case "$1" in
"$SESSIONCTX_SFTP_ACCOUNT's password"* | "($SESSIONCTX_SFTP_ACCOUNT) "*) printf '%s\n' "$SESSIONCTX_SFTP_PASSWORD" ;;
*) exit 1 ;;
esac
