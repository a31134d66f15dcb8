import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { Remedy, step } from './progress.mjs'
import { must } from './run.mjs'

/** The programs the tests talk to, and how to get each of them. */
const programs = [
  { command: 'redis-server', apt: 'redis-server', brew: 'redis' },
  { command: 'memcached', apt: 'memcached', brew: 'memcached' },
  // What memcached -S checks passwords with; Debian only recommends it.
  { command: 'libplain', apt: 'libsasl2-modules', brew: 'cyrus-sasl', isThere: hasPlainSasl },
  { command: 'java', apt: 'default-jre-headless', brew: 'openjdk' },
  { command: 'openssl', apt: 'openssl', brew: 'openssl' },
  { command: 'chromium', apt: 'chromium', brew: '--cask chromium' },
]

/**
 * Makes sure that every program is there: on Debian as root it is installed, elsewhere the missing ones are
 * named with the commands that install them. Nothing is ever skipped for lack of a server.
 */
export async function ensureServers() {
  const missing = programs.filter(({ command, isThere }) => !(isThere ?? isInstalled)(command))
  if (missing.length === 0) return
  if (!canInstall()) throw new Remedy(howToInstall(missing))
  const packages = missing.map(({ apt }) => apt)
  await step(`Install ${packages.join(', ')} (Debian packages)`, () => install(packages))
}

async function install(packages) {
  // A package's own service must not start: the tests start servers of their own, on free ports.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  await must('apt-get', ['update', '-qq'], { env })
  const quietly = ['-y', '-qq', '-o', 'Dpkg::Use-Pty=0', '--no-install-recommends']
  await must('apt-get', ['install', ...quietly, ...packages], { env })
}

function isInstalled(command) {
  return spawnSync('which', [command]).status === 0
}

/** Only Debian leaves the module out; elsewhere it comes with the library. */
function hasPlainSasl() {
  if (!existsSync('/etc/debian_version')) return true
  return readdirSync('/usr/lib').some((folder) =>
    existsSync(`/usr/lib/${folder}/sasl2/libplain.so`),
  )
}

function canInstall() {
  return existsSync('/etc/debian_version') && process.getuid?.() === 0
}

function howToInstall(missing) {
  const list = (field) =>
    missing
      .map((program) => program[field])
      .filter(Boolean)
      .join(' ')
  return [
    `The tests need ${list('command')}, which this machine does not have. Install with one of:`,
    `  sudo apt-get install -y ${list('apt')}`,
    `  brew install ${list('brew')}`,
    'or run them where everything is there:',
    '  docker compose run --rm tests',
  ]
    .filter(Boolean)
    .join('\n')
}

/** The version line of a program, for the log. */
export function versionOf(command) {
  return execFileSync(command, ['--version'], { encoding: 'utf8' }).trim()
}
