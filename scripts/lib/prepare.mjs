import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { bundle, writeCommonJsDeclarations } from './bundle.mjs'
import { step } from './cli.mjs'
import { root, runOrThrow } from './run.mjs'

// Run through npx, because the corepack of older Node releases cannot verify the signatures of current pnpm releases.
const pnpm = 'pnpm@12.21.0'
const installedDigest = join(root, 'node_modules', '.stowage-installed')

/** Packages of the workspace that few scripts need, and that have many dependencies. */
const optional = [
  '@stowage/benchmarks',
  '@stowage/consumers',
  '@stowage/bridge-hosts',
  '@stowage/docs-site',
  '@stowage/example-express4-jest',
]

/**
 * Installs the dependencies if the lockfile has changed, and builds the packages that have changed.
 *
 * @param needed the optional packages whose dependencies are installed as well
 * @param names see {@link build}
 */
export async function prepare(needed = [], names = undefined) {
  await prepareDependencies(needed)
  await step('Build', () => build(names))
}

/** Only installs the dependencies if the lockfile has changed. */
export async function prepareDependencies(needed = []) {
  const digest = lockfileDigest()
  const installed = readInstalled(digest)
  if (installed === undefined || needed.some((name) => !installed.includes(name))) {
    await step('Install', () => install(digest, [...new Set([...(installed ?? []), ...needed])]))
  }
}

/**
 * Compiles and bundles the packages that have changed, at the same time: the compiler uses one core.
 *
 * @param names the folders of the packages, in the order in which they are bundled @default all
 */
export async function build(names) {
  await Promise.all([compile('-b'), bundle(names)])
  writeCommonJsDeclarations(names)
}

/**
 * Runs the compiler. It has one checker, because further ones check much a second time, and collects garbage rarely: that
 * takes half of the processor time, which other steps use.
 */
export function compile(...args) {
  const compiler = toolPath('typescript', 'bin/tsc')
  const env = { GOGC: '400' }
  return runOrThrow(process.execPath, [compiler, ...args, '--checkers', '1'], { env })
}

/**
 * Runs pnpm in the workspace. npx starts in another folder: it reads all of `node_modules` of its own, which takes six
 * seconds of processor time here, to look for pnpm there.
 */
export function runPnpm(...args) {
  return runOrThrow('npx', ['--yes', pnpm, '--dir', root, ...args], { cwd: tmpdir() })
}

/** The path of a file of a development dependency, to start it with Node: without a shell or the package manager. */
export function toolPath(name, file) {
  const require = createRequire(join(root, 'package.json'))
  return join(dirname(require.resolve(`${name}/package.json`)), file)
}

async function install(digest, wanted) {
  const filters = optional
    .filter((name) => !wanted.includes(name))
    .map((name) => `--filter=!${name}`)
  const options = ['--frozen-lockfile', '--reporter=append-only', ...filters]
  await runPnpm('install', ...options)
  mkdirSync(dirname(installedDigest), { recursive: true })
  writeFileSync(installedDigest, JSON.stringify({ digest, optional: wanted }))
}

/** The optional packages that were installed with this lockfile; `undefined` if nothing was. */
function readInstalled(digest) {
  try {
    const installed = JSON.parse(readFileSync(installedDigest, 'utf8'))
    return installed.digest === digest ? installed.optional : undefined
  } catch {
    return undefined
  }
}

function lockfileDigest() {
  return createHash('sha256')
    .update(readFileSync(join(root, 'pnpm-lock.yaml')))
    .digest('hex')
}
