// Runs tests beside programs that keep all cores busy, and stops the processes of the run at random for up to a second. A
// test that passes here does not depend on a fast machine: npm run test:stress -- packages/redis/test/faults
// Arguments are passed to Vitest. STRESS_SEED=<seed> repeats the order of the stops.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { main } from './lib/cli.mjs'
import { prepare, toolPath } from './lib/prepare.mjs'
import { ensurePrograms } from './lib/required-programs.mjs'
import { root } from './lib/run.mjs'

const maxStopMs = 1_000
const maxPauseMs = 1_000
/** Ends with this process, also if that is killed. */
const busyLoop = `
process.once('disconnect', () => process.exit())
setInterval(() => { for (const end = Date.now() + 100; Date.now() < end; ); }, 0)
`

await main(async () => {
  await prepare(['@stowage/consumers', '@stowage/example-express4-jest'])
  await ensurePrograms()
  const seed = Number(process.env.STRESS_SEED ?? Math.floor(Math.random() * 2 ** 31))
  process.stdout.write(`• Stress with STRESS_SEED=${seed}\n`)
  const burners = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ['-e', busyLoop], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }),
  )
  // Has a file for each server that a test has frozen, also while it is stopped here.
  const frozen = mkdtempSync(join(tmpdir(), 'stowage-frozen-'))
  try {
    return await runStopped(process.argv.slice(2), randomOf(seed), frozen)
  } finally {
    for (const burner of burners) burner.kill('SIGKILL')
    rmSync(frozen, { recursive: true, force: true })
  }
})

/** Runs Vitest, and stops its descendants until it ends. Resolves to its exit code. */
async function runStopped(args, random, frozen) {
  const vitest = spawn(process.execPath, [toolPath('vitest', 'vitest.mjs'), 'run', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, STRESS_FROZEN: frozen },
  })
  const ended = new Promise((resolve, reject) => {
    vitest.on('error', reject)
    vitest.on('exit', (code) => resolve(code ?? 1))
  })
  const controller = new AbortController()
  const interrupt = () => controller.abort()
  // A process that is left stopped would never end.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, interrupt)
  ended.finally(interrupt).catch(() => {})
  let stops = 0
  // One at a time: a run of many processes would hardly proceed otherwise.
  while (!controller.signal.aborted) {
    await pause(random() * maxPauseMs, controller.signal)
    const pids = descendantsOf(vitest.pid)
    const pid = pids[Math.floor(random() * pids.length)]
    if (pid === undefined || controller.signal.aborted || !send(pid, 'SIGSTOP')) continue
    stops++
    await pause(random() * maxStopMs, controller.signal)
    if (!existsSync(join(frozen, String(pid)))) send(pid, 'SIGCONT')
  }
  if (vitest.exitCode === null) vitest.kill('SIGTERM')
  const code = await ended
  process.stdout.write(`• Stopped processes ${stops} times\n`)
  return code
}

/** The processes that this one and its children have started, without itself: its output and its timers go on. */
function descendantsOf(ancestor) {
  const parents = new Map()
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name)) parents.set(Number(name), parentOf(name))
  }
  const descendants = new Set([ancestor])
  for (let size = 0; size < descendants.size; ) {
    size = descendants.size
    for (const [pid, parent] of parents) if (descendants.has(parent)) descendants.add(pid)
  }
  descendants.delete(ancestor)
  return [...descendants].sort((a, b) => a - b)
}

/** `undefined` for a process that has ended, or that another one has stopped: a test may have a reason to. */
function parentOf(pid) {
  try {
    // The name of the program, in parentheses, may contain spaces.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')
    return state === 'T' || state === 'Z' ? undefined : Number(parent)
  } catch {
    return undefined
  }
}

/** Whether the process exists. */
function send(pid, signal) {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

function pause(ms, signal) {
  return sleep(ms, undefined, { signal }).catch(() => {})
}

/** Numbers from 0 to 1, the same for the same seed: mulberry32. */
function randomOf(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
