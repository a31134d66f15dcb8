import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { step, UserError } from './cli.mjs'
import { runOrThrow } from './run.mjs'

/** The programs that the tests start, and the packages that contain them. */
const programs = [
  { command: 'redis-server', apt: 'redis-server', brew: 'redis' },
  { command: 'memcached', apt: 'memcached', brew: 'memcached' },
  // The SASL module with which `memcached -S` checks passwords. The memcached package of Debian only recommends it.
  { command: 'libplain', apt: 'libsasl2-modules', brew: 'cyrus-sasl', isInstalled: hasPlainSasl },
  { command: 'java', apt: 'default-jre-headless', brew: 'openjdk' },
  { command: 'php', apt: 'php-cli', brew: 'php' },
  // The PHP extension of libmemcached, with whose placement of keys the tests compare that of the driver.
  {
    command: 'php-memcached',
    apt: 'php-memcached',
    brew: 'libmemcached && pecl install memcached',
    isInstalled: hasPhpMemcached,
  },
  {
    command: 'postgres',
    apt: 'postgresql',
    brew: 'postgresql',
    isInstalled: hasPostgres,
    prepare: forbidMainCluster,
  },
  // Debian installs it where only root finds it.
  {
    command: 'pgbouncer',
    apt: 'pgbouncer',
    brew: 'pgbouncer',
    isInstalled: (command) => isOnPath(command) || existsSync('/usr/sbin/pgbouncer'),
  },
  { command: 'openssl', apt: 'openssl', brew: 'openssl' },
  // With promtool, which checks metrics and alert rules.
  { command: 'prometheus', apt: 'prometheus', brew: 'prometheus' },
  { command: 'chromium', apt: 'chromium', brew: '--cask chromium' },
]

/**
 * Installs missing programs on Debian as root. On other systems it throws an error that names them and the commands
 * that install them. Tests are never skipped because a server is missing.
 */
export async function ensurePrograms() {
  const missing = programs.filter(({ command, isInstalled = isOnPath }) => !isInstalled(command))
  if (missing.length === 0) return
  if (!canInstall()) throw new UserError(installInstructions(missing))
  for (const { prepare } of missing) prepare?.()
  const packages = missing.map(({ apt }) => apt)
  await step(`Install ${packages.join(', ')} (Debian packages)`, () => install(packages))
}

async function install(packages) {
  // RUNLEVEL=1 prevents the packages from starting their services: the tests start their own servers on free ports.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  await runOrThrow('apt-get', ['update', '-qq'], { env })
  const flags = ['-y', '-qq', '-o', 'Dpkg::Use-Pty=0', '--no-install-recommends']
  await runOrThrow('apt-get', ['install', ...flags, ...packages], { env })
}

function isOnPath(command) {
  return spawnSync('which', [command]).status === 0
}

/** Only Debian packages the module separately. On other systems it is part of the library. */
function hasPlainSasl() {
  if (!existsSync('/etc/debian_version')) return true
  return readdirSync('/usr/lib').some((folder) =>
    existsSync(`/usr/lib/${folder}/sasl2/libplain.so`),
  )
}

function hasPhpMemcached() {
  const { stdout } = spawnSync('php', ['-m'], { encoding: 'utf8' })
  return /^memcached$/m.test(stdout ?? '')
}

/** Debian keeps the programs of each version in a folder of its own, outside of the PATH. */
function hasPostgres(command) {
  const versions = '/usr/lib/postgresql'
  if (!existsSync(versions)) return isOnPath(command)
  return readdirSync(versions).some((version) =>
    existsSync(`${versions}/${version}/bin/${command}`),
  )
}

/** The package of Debian would create a database for the machine. The tests create their own. */
function forbidMainCluster() {
  const folder = '/etc/postgresql-common/createcluster.d'
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/stowage-tests.conf`, 'create_main_cluster = false\n')
}

function canInstall() {
  return existsSync('/etc/debian_version') && process.getuid?.() === 0
}

function installInstructions(missing) {
  const list = (field) => missing.map((program) => program[field]).join(' ')
  return [
    `The tests need ${list('command')}. Install with one of:`,
    `  sudo apt-get install -y ${list('apt')}`,
    `  brew install ${list('brew')}`,
    'or run the tests in a container that installs everything:',
    '  docker compose run --rm tests',
  ].join('\n')
}
