import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { join } from 'node:path'
import { channels, tracing } from '@stowage/core'
import { afterAll, expect } from 'vitest'
import { logFolderOf } from '../../scripts/lib/test-summary.mjs'

declare module 'vitest' {
  interface TaskMeta {
    /** Seconds of processor time that the file took in its worker, and in the processes that it started and ended. */
    cpuSeconds?: number
  }
}

/** The timers of the process, from before its first file. */
const timers = processTimers()
const before = cpuSeconds()
const variables = { ...process.env }
const { testPath = '' } = expect.getState()
const { STOWAGE_LOGS: logs } = process.env
if (logs !== undefined) process.env.STOWAGE_SERVER_LOGS = join(logs, logFolderOf(testPath))

subscribe('http.server.request.start', keepConnections)

// Registered before the hooks of the file, and therefore called after them.
// biome-ignore lint/correctness/noEmptyPattern: Vitest requires a destructuring pattern here.
afterAll(({}, suite) => {
  suite.meta.cpuSeconds = cpuSeconds() - before
  unsubscribe('http.server.request.start', keepConnections)
  // The addresses of servers that have stopped, for example.
  restoreVariables()
  // The files that run later in this process would publish to them.
  const subscribed = Object.values({ ...channels, ...tracing }).filter(hasSubscribers)
  const names = subscribed.map((each) => ('name' in each ? each.name : each.start.name))
  if (names.length > 0 && process.env.LEAVES_SUBSCRIBERS !== '1')
    throw new Error(`This file leaves subscribers of ${names.join(', ')}.`)
  const replaced = Object.keys(timers).filter((name) => currentTimers()[name] !== timers[name])
  if (replaced.length > 0)
    throw new Error(
      `This file leaves ${replaced.join(', ')} replaced, such as by a spy on a fake timer.`,
    )
})

/** By default, the server closes idle connections after 5 s. A process that stands still so long would fail the next request. */
function keepConnections(message: unknown): void {
  const { server } = message as { readonly server: Server }
  server.keepAliveTimeout = 60_000
}

function restoreVariables(): void {
  for (const name of Object.keys(process.env)) if (!(name in variables)) delete process.env[name]
  Object.assign(process.env, variables)
}

function processTimers(): Record<string, unknown> {
  const shared = globalThis as Record<symbol, unknown>
  const symbol = Symbol.for('stowage.test.timers')
  shared[symbol] ??= currentTimers()
  return shared[symbol] as Record<string, unknown>
}

function currentTimers(): Record<string, unknown> {
  const now = { 'Date.now': Date.now, 'performance.now': performance.now }
  return { setTimeout, clearTimeout, setInterval, clearInterval, Date, ...now }
}

function hasSubscribers({ hasSubscribers }: { readonly hasSubscribers: boolean }): boolean {
  return hasSubscribers
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6 + childSeconds()
}

/** Linux counts the time of processes that have ended, and the processes that these started. */
function childSeconds(): number {
  if (process.platform !== 'linux') return 0
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticksPerSecond = 100
  return (Number(fields[13]) + Number(fields[14])) / ticksPerSecond
}
