import { fork } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type FaultProxy, type RedisServer, startProxy, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Call, outdatedReads } from './judge.ts'

const program = fileURLToPath(new URL('near-process.mjs', import.meta.url))
const processes = 4
export const ttlMs = 300
export const nearKeys = Array.from({ length: 30 }, (_, index) => `key${index}`)

export interface Setup {
  readonly driver: string
  readonly options: Record<string, unknown>
  readonly bus: 'tracking' | 'pubsub' | 'postgres' | 'none'
  /** @default through the proxy */
  readonly busUrl?: string
  readonly env?: Record<string, string>
  /** Whether replicas may be further behind than the bound. @default false */
  readonly hasLag?: boolean
  /** How many of the processes write. @default all */
  readonly writers?: number
  /** The ttl of the near caches, in milliseconds. @default 300 */
  readonly ttl?: number
  /** How old a read may be, in milliseconds. @default the ttl */
  readonly boundMs?: number
}

interface Report {
  readonly calls: readonly Call[]
  readonly hits: number
  readonly hitsWhileDisconnected: number
}

/** What happens while the processes run. Resolves to what it has done itself. */
export type Disturbance = () => Promise<readonly Call[]>

/** A Redis server, and a proxy in front of it. What is added to `stops` is stopped after the tests. */
export function redisBehindProxy() {
  const stops: (() => Promise<unknown>)[] = []
  const fixture = { stops } as { stops: typeof stops; redis: RedisServer; proxy: FaultProxy }
  beforeAll(async () => {
    fixture.redis = await startRedis()
    fixture.proxy = await startProxy(fixture.redis.port)
  })
  afterAll(async () => {
    await fixture.proxy?.stop()
    await fixture.redis?.stop()
    for (const stop of stops) await stop()
  })
  return fixture
}

/** Runs processes that read and write. Expects that no read is too old, and none served while the bus is disconnected. */
export async function expectFreshReads(
  { writers = processes, boundMs, ...setup }: Setup,
  disturb: Disturbance,
): Promise<void> {
  const { ttl = ttlMs } = setup
  const children = await Promise.all(
    Array.from({ length: processes }, (_, index) =>
      startProcess({ ...setup, ttl, keys: nearKeys, id: `p${index}`, writes: index < writers }),
    ),
  )
  const others = await disturb().catch((error) => error)
  const reports = await Promise.all(children.map((child) => child.end()))
  if (others instanceof Error) throw others
  const calls = [...reports.flatMap((report) => report.calls), ...others]
  expect(outdatedReads(calls, boundMs ?? ttl)).toEqual([])
  expect(sum(reports, ({ hitsWhileDisconnected }) => hitsWhileDisconnected)).toBe(0)
  // Otherwise little was tested.
  expect(sum(reports, ({ hits }) => hits)).toBeGreaterThan(100)
  expect(calls.filter(({ op }) => op === 'write').length).toBeGreaterThan(10)
}

/** Lets the bus be slow, lose messages, be cut off, silent, and unreachable for a while. */
export async function disturbBus(proxy: FaultProxy): Promise<readonly Call[]> {
  await sleep(500)
  proxy.delay(30)
  await sleep(500)
  proxy.delay(0)
  for (let i = 0; i < 3; i++) {
    proxy.cut()
    await sleep(200)
    // A message is lost with its connection.
    await Promise.race([proxy.cutReplies(), sleep(200)])
  }
  proxy.mute(true)
  await sleep(700)
  proxy.mute(false)
  proxy.refuse(true)
  proxy.cut()
  await sleep(700)
  proxy.refuse(false)
  await sleep(1_500)
  return []
}

interface Job extends Omit<Setup, 'writers' | 'boundMs'> {
  readonly id: string
  readonly keys: readonly string[]
  readonly writes: boolean
}

async function startProcess({ env, ...job }: Job) {
  const child = fork(program, [JSON.stringify(job)], {
    env: { ...process.env, ...env },
    execArgv: [],
    serialization: 'advanced',
  })
  const next = () =>
    new Promise<unknown>((resolve, reject) => {
      child.once('message', resolve)
      child.once('exit', (code) => reject(new Error(`A process ended with code ${code}.`)))
    })
  await next()
  const end = async () => {
    const report = next()
    child.send('end')
    const received = (await report) as Report
    child.disconnect()
    return received
  }
  return { end }
}

function sum<T>(list: readonly T[], number: (each: T) => number): number {
  return list.reduce((total, each) => total + number(each), 0)
}
