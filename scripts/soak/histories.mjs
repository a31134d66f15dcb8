import { fork } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { backends } from '../../test/remember/processes/backends.mjs'
import { UserError } from '../lib/cli.mjs'
import { findViolation } from './histories/check.mjs'

const processes = 4
const known = ['redis', 'redis-cluster', 'memcached', 'dynamodb', 'postgres', 'lmdb']
const program = new URL('histories/record.mjs', import.meta.url)

/**
 * Records what several processes see on real servers, and looks for an order of the calls that explains it. The format and
 * the files: histories/README.md. Usage: npm run soak -- histories [seconds] [backend …]
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
export async function soak(args) {
  const [seconds = 20] = args.map(Number).filter(Number.isFinite)
  const chosen = args.filter((arg) => Number.isNaN(Number(arg)))
  if (chosen.some((name) => !known.includes(name)) || seconds <= 0) {
    throw new UserError(`Usage: npm run soak -- histories [seconds] [${known.join('|')} …]`)
  }
  let failed = 0
  for (const name of chosen.length > 0 ? chosen : known) {
    const { lines, violation } = await judge(name, seconds * 1_000)
    if (violation !== undefined) failed++
    const calls = lines.length.toLocaleString('en')
    const unknown = lines.filter((line) => line.includes('"end":null')).length
    const mark = violation === undefined ? '✓' : '✗'
    process.stdout.write(`${mark} ${name}: ${calls} calls, ${unknown} of them without a reply\n`)
    if (violation !== undefined) process.stdout.write(`${describe(violation)}\n`)
  }
  return failed === 0 ? 0 : 1
}

/**
 * @param {string} name of a backend
 * @param {number} milliseconds
 * @param {string} [defect] of `plantedDefects`, which every process plants into its store
 */
export async function judge(name, milliseconds, defect) {
  const folder = await mkdtemp(join(tmpdir(), 'stowage-histories-'))
  const backend = await backends[name]()
  try {
    const paths = Array.from({ length: processes }, (_, number) => join(folder, `${number}`))
    await Promise.all(
      paths.map((path, number) => run(backend, { number, milliseconds, path, defect })),
    )
    const files = await Promise.all(paths.map((path) => readFile(path, 'utf8')))
    const lines = files.flatMap((text) => text.split('\n').filter((line) => line !== ''))
    return { lines, violation: findViolation(lines) }
  } finally {
    await backend.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Runs a process, and stops it now and then for a moment. */
async function run({ driver, options, env }, job) {
  const argument = JSON.stringify({ driver, options, ...job })
  const child = fork(program, [argument], { env: { ...process.env, ...env } })
  let code
  const exited = new Promise((resolve) => {
    child.on('exit', (exitCode) => {
      code = exitCode ?? 1
      resolve(code)
    })
  })
  while (code === undefined) {
    await Promise.race([exited, sleep(Math.random() * 500)])
    if (code !== undefined) break
    child.kill('SIGSTOP')
    await sleep(Math.random() * 100)
    child.kill('SIGCONT')
  }
  if (code !== 0) throw new Error(`a process exited with code ${code}`)
}

function describe({ key, calls }) {
  const lines = calls.map(({ process: number, operation, args, start, end, result }) =>
    [start, end ?? '?', number, operation, JSON.stringify(args), '→', JSON.stringify(result)].join(
      ' ',
    ),
  )
  return [`No order explains the calls of ${key}:`, ...lines].join('\n')
}
