import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from './account.ts'
import { atExit } from './at-exit.ts'

/** How long a stopped server may take to stop, in milliseconds. */
const maxStopMs = 1_000

let logs = 0

export interface ServerProcess {
  readonly pid: number
  /** Kills the server. Resolves when it has exited. Idempotent. */
  readonly stop: () => Promise<void>
  /** Sends a signal to the server, for example SIGSTOP or SIGCONT. After SIGSTOP, it executes nothing more. */
  readonly kill: (signal: NodeJS.Signals) => void
}

export interface ServerProgram {
  /** Identifies the server in error messages. */
  readonly name: string
  /** Tells how to install the program. Part of the error when it cannot be started. */
  readonly remedy: string
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** @default the user of this process */
  readonly account?: Account | undefined
  /** Polled until it resolves to `true`. */
  readonly isReady: () => Promise<boolean>
  /** @default 20_000 */
  readonly readyTimeoutMs?: number
  /** Called when the server has been stopped. */
  readonly cleanUp?: () => void
}

/** Starts a server. Resolves when it is ready. The server is killed when this process exits. */
export async function startServerProcess(program: ServerProgram): Promise<ServerProcess> {
  const { command, args, cwd, env, account } = program
  const log = openLog(program.name)
  const stdio = ['ignore', log, log] as const
  const child = spawn(command, args, {
    stdio: [...stdio],
    cwd,
    env: { ...process.env, ...env },
    ...account,
  })
  let isEndExpected = false
  // A program that cannot be started emits `error` and never `exit`.
  const exited = new Promise((resolve) => child.once('exit', resolve).once('error', resolve))
  exited.then(() => {
    if (typeof log !== 'number') return
    if (!isEndExpected)
      writeSync(log, `${endOf(child, program.name)}, and its test had not ended it\n`)
    closeSync(log)
  })
  const send = (name: NodeJS.Signals) => {
    isEndExpected ||= name !== 'SIGSTOP' && name !== 'SIGCONT'
    child.kill(name)
  }
  const kill = () => send('SIGKILL')
  const cancel = atExit(kill)
  const stop = async () => {
    kill()
    await exited
    cancel()
    program.cleanUp?.()
  }
  try {
    await Promise.race([ready(child, program), startFailure(child, program)])
  } catch (error) {
    await stop()
    throw error
  }
  const pid = child.pid as number
  const signal = (name: NodeJS.Signals) => {
    noteFrozen(pid, name)
    send(name)
    if (name === 'SIGSTOP') waitUntilStopped(pid)
  }
  return { pid, stop, kill: signal }
}

/** Tells `npm run test:stress` which servers a test has frozen: it must not let them continue. */
function noteFrozen(pid: number, signal: NodeJS.Signals): void {
  const { STRESS_FROZEN: folder } = process.env
  if (folder === undefined) return
  if (signal === 'SIGSTOP') writeFileSync(join(folder, String(pid)), '')
  if (signal === 'SIGCONT') rmSync(join(folder, String(pid)), { force: true })
}

/**
 * The file that gets the output of a server: a new one in the folder that `npm test` chooses for the test file, and keeps if
 * a test of it fails.
 */
function openLog(name: string): number | 'ignore' {
  const { STOWAGE_SERVER_LOGS: folder } = process.env
  if (folder === undefined) return 'ignore'
  mkdirSync(folder, { recursive: true })
  return openSync(join(folder, `${name.replaceAll(' ', '-')}-${process.pid}-${++logs}.log`), 'w')
}

/** A thread on another core stops a moment later than the signal is sent, and may still reply. */
function waitUntilStopped(pid: number): void {
  if (process.platform !== 'linux') return
  const deadline = performance.now() + maxStopMs
  while (performance.now() < deadline && !areThreadsStopped(pid));
}

function areThreadsStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`
  try {
    // The state follows the name of the program, which may contain spaces and parentheses.
    return readdirSync(tasks).every((task) =>
      /^.*\) [TtZX] /s.test(readFileSync(`${tasks}/${task}/stat`, 'utf8')),
    )
  } catch {
    return true // It has ended.
  }
}

/** Rejects when the program cannot be started, or exits. */
function startFailure(child: ChildProcess, { name, remedy }: ServerProgram): Promise<never> {
  return new Promise((_, reject) => {
    child.once('error', (cause) => {
      reject(new Error(`${name} cannot be started: ${remedy}`, { cause }))
    })
    child.once('exit', () => reject(new Error(endOf(child, name))))
  })
}

/** How a program has exited. */
function endOf({ exitCode, signalCode }: ChildProcess, name: string): string {
  return `${name} exited with ${signalCode ?? `code ${exitCode}`}`
}

/** Resolves when the server is ready. Stays pending after an exit: `startFailure` reports that. */
async function ready(child: ChildProcess, program: ServerProgram): Promise<void> {
  const { name, isReady, readyTimeoutMs = 20_000 } = program
  const deadline = Date.now() + readyTimeoutMs
  while (!(await isReady())) {
    if (child.pid === undefined || child.exitCode !== null) return new Promise(() => {})
    if (Date.now() > deadline) throw new Error(`${name} was not ready within ${readyTimeoutMs} ms`)
    await sleep(10)
  }
}
