import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type PostgresServer, startPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Backend, backends } from '../remember/processes/backends.mjs'

const program = fileURLToPath(new URL('processes/change-process.mjs', import.meta.url))
const processCount = 4
const rows = Array.from({ length: 16 }, (_, index) => `row${index}`)
/** How long the marks of a process that does not run stand, and after which time PostgreSQL ends its transactions. */
const [forMs, idleMs] = [1_500, 300]
/** For a longer run: the number of transactions. */
const transactions = Number(process.env.STOWAGE_TRANSACTIONS ?? 600)
/** How often a process is disturbed, and for how long it is stopped: longer than its marks stand. */
const [disturbMs, stopMs] = [transactions > 1_000 ? 1_000 : 250, 2_200]

interface Report {
  reads: number
  hits: number
  stale: number
  early: number
  commits: number
  failures: number
  example: string
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

type Mode = 'changing' | 'after commit'

interface Settings {
  /** Further options of the driver. */
  readonly options?: object
  /**
   * Whether the workload is also run with an invalidation after the commit, which proves that the test notices outdated
   * reads.
   */
  readonly isCompared?: boolean
}

/**
 * Tests `changing` in several processes that share a backend, and that are killed, are stopped and lose their connections while
 * they change rows.
 */
export function changesAcrossProcesses(
  name: string,
  { options = {}, isCompared = false }: Settings = {},
): void {
  let backend: Backend
  let database: PostgresServer
  beforeAll(async () => {
    database = await startPostgres({ settings: { max_connections: '120' } })
    const started = await (backends[name] as () => Promise<Backend>)()
    backend = { ...started, options: { ...started.options, ...options } }
  })
  afterAll(async () => {
    await backend?.stop()
    await database?.stop()
  })

  test('no read returns what a commit before it has replaced', async () => {
    const report = await runWorkload(backend, database.url, 'changing', transactions)
    expect(report).toMatchObject({ stale: 0, early: 0, example: '' })
    expect(report.hits).toBeGreaterThan(0)
  }, 3_600_000)

  if (!isCompared) return
  test('with an invalidation after the commit, some reads do', async () => {
    let stale = 0
    // About ten, most of them in the same moments, so that one workload of hundreds may have none.
    for (let attempt = 0; stale === 0 && attempt < 5; attempt++) {
      const report = await runWorkload(backend, database.url, 'after commit', transactions)
      stale = report.stale
    }
    expect(stale).toBeGreaterThan(0)
  }, 3_600_000)
}

async function runWorkload(
  backend: Backend,
  database: string,
  mode: Mode,
  commits: number,
): Promise<Report> {
  await createRows(database)
  const total = {
    ...{ reads: 0, hits: 0, stale: 0, early: 0, commits: 0, failures: 0 },
    example: '',
  }
  const { driver, options, env } = backend
  const job = JSON.stringify({ driver, options, database, mode, rows, forMs, idleMs })
  const spawn = () => startProcess(job, env, total)
  const processes = await Promise.all(Array.from({ length: processCount }, spawn))
  const pauses: Promise<void>[] = []
  for (let turn = 0; total.commits < commits; turn++) {
    await sleep(disturbMs)
    const index = turn % processCount
    const child = processes[index] as ChildProcess
    if (turn % 3 === 0) pauses.push(pause(child))
    else if (turn % 3 === 1) child.send('lose connections')
    else if (child.exitCode === null && !paused.has(child)) {
      await kill(child)
      processes[index] = await spawn()
    }
  }
  await Promise.all(pauses)
  // What a killed process has left behind remains.
  await sleep(disturbMs)
  await Promise.all(processes.map(kill))
  console.log(`${backend.driver}, ${mode}: ${JSON.stringify(total)}`)
  return total
}

async function createRows(database: string): Promise<void> {
  const client = new pg.Client(database)
  await client.connect()
  await client.query('CREATE TABLE IF NOT EXISTS rows (id text PRIMARY KEY, version bigint)')
  for (const row of rows) {
    await client.query(
      'INSERT INTO rows VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET version = rows.version + 1',
      [row],
    )
  }
  await client.end()
}

async function startProcess(
  job: string,
  env: Record<string, string>,
  total: Report,
): Promise<ChildProcess> {
  const child = fork(program, [job], { env: { ...process.env, ...env }, execArgv: [] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (message: Report & { readonly isReady?: boolean }) => {
      if (message.isReady === true) resolve()
      else add(total, message)
    })
    child.once('exit', () => reject(new Error('a process of the workload has ended')))
  })
  await ready
  return child
}

function add(total: Report, report: Report): void {
  for (const field of ['reads', 'hits', 'stale', 'early', 'commits', 'failures'] as const) {
    total[field] += report[field]
  }
  if (report.example !== '') total.example = report.example
}

const paused = new Set<ChildProcess>()

async function pause(child: ChildProcess): Promise<void> {
  if (paused.has(child)) return
  paused.add(child)
  child.kill('SIGSTOP')
  await sleep(stopMs)
  child.kill('SIGCONT')
  paused.delete(child)
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = child.exitCode === null && child.signalCode === null && once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
