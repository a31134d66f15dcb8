import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lmdb } from '@stowage/lmdb'
import { verified } from './self-checked.mjs'

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a program of this folder. @param {string} program @param {object} job @param {object} [options] */
export function start(program, job, options = {}) {
  const file = fileURLToPath(new URL(program, import.meta.url))
  const child = fork(file, [JSON.stringify(job)], { execArgv: [], ...options })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/**
 * Random calls of several processes on one file, and a comparison of the counters with what the processes have added.
 * Each process makes calls for a time, and on a slow machine for as long as it has not made `minCalls`.
 * @param {{ path: string, processes: number, ms: number, minCalls?: number, maxBytes?: string, seed?: number }} options
 */
export async function randomCalls(options) {
  const { path, processes, ms, minCalls = 1, maxBytes = '64MiB', seed = 1 } = options
  const children = Array.from({ length: processes }, (_, index) =>
    start('random-calls.mjs', { path, ms, minCalls, maxBytes, seed: seed * 1_000 + index }),
  )
  const reports = await Promise.all(children.map(reportOf))
  const problems = reports.flatMap((report) => report.problems)
  const store = open(path, maxBytes)
  for (const key of new Set(reports.flatMap(({ added }) => Object.keys(added)))) {
    const expected = reports.reduce((sum, { added }) => sum + (added[key] ?? 0), 0)
    const stored = Number((await store.get(key)) ?? 0)
    if (stored !== expected) problems.push(`${key} is ${stored} instead of ${expected}`)
  }
  await store.close()
  return { problems, calls: reports.reduce((sum, { calls }) => sum + calls, 0) }
}

/** @param {import('node:child_process').ChildProcess} child @returns {Promise<any>} */
async function reportOf(child) {
  const exit = once(child, 'exit').then(([code, signal]) => ({
    added: {},
    problems: [`a process ended with ${signal ?? code}`],
    calls: 0,
  }))
  return Promise.race([once(child, 'message').then(([report]) => report), exit])
}

/**
 * Kills a writer again and again, while another one continues. After each kill, everything that was acknowledged must be
 * stored, and every value must be whole.
 * @param {{ path: string, rounds: number, maxBytes?: string, durability?: string, maxDelayMs?: number }} options
 */
export async function killRounds({
  path,
  rounds,
  maxBytes = '64MiB',
  durability,
  maxDelayMs = 150,
}) {
  const keys = 20
  /** @type {string[]} */
  const problems = []
  const survivor = start('write-until-killed.mjs', {
    path,
    name: 'survivor',
    keys,
    from: 0,
    maxBytes,
    durability,
  })
  let survivorNumber = 0
  survivor.on('message', (number) => {
    survivorNumber = Number(number)
  })
  await once(survivor, 'message')
  let acknowledged = 0
  for (let round = 0; round < rounds; round++) {
    // Numbers that were not acknowledged may be stored as well, and are not used again.
    const from = acknowledged + 10
    const job = { path, name: 'killed', keys, from, maxBytes, durability }
    const writer = start('write-until-killed.mjs', job)
    writer.on('message', (number) => {
      acknowledged = Number(number)
    })
    await once(writer, 'message')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * maxDelayMs))
    writer.kill('SIGKILL')
    await once(writer, 'exit')
    const before = survivorNumber
    problems.push(...(await lostWrites(path, from + 1, acknowledged, keys, maxBytes)))
    const deadline = performance.now() + 10_000
    while (survivorNumber === before && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    if (survivorNumber === before) problems.push('the other process cannot write any more')
    if (problems.length > 10) break
  }
  survivor.kill('SIGKILL')
  await once(survivor, 'exit')
  return { problems, writes: acknowledged, survivorWrites: survivorNumber }
}

/**
 * Checks the writes from `first` to `last`, and all values.
 * @param {string} path @param {number} first @param {number} last @param {number} keys @param {string} maxBytes
 */
async function lostWrites(path, first, last, keys, maxBytes) {
  const problems = []
  const store = open(path, maxBytes)
  for (let number = Math.max(first, last - keys + 1); number <= last; number++) {
    const key = `killed:${number % keys}`
    const value = await store.get(key)
    if (value === undefined) problems.push(`write ${number} is lost`)
    else if (verified(key, value).number < number) problems.push(`write ${number} was undone`)
  }
  for await (const page of store.scan?.('') ?? []) {
    for (const key of page.filter((each) => !each.endsWith('count'))) {
      const value = await store.get(key)
      if (value !== undefined) verified(key, value)
    }
  }
  await store.close()
  return problems
}

/** @param {string} path @param {any} maxBytes */
function open(path, maxBytes) {
  return lmdb({ path, maxBytes, maxValueBytes: '1MiB' })
}

/** Size of the file in bytes. @param {string} path */
export function fileBytes(path) {
  const file = join(path, 'data.mdb')
  return existsSync(file) ? statSync(file).size : 0
}

/**
 * Writes values of all sizes into a file of 64 MiB. The file and the memory of the process must stay small.
 * @param {{ path: string, bytes: number }} options
 */
export async function fillFile({ path, bytes }) {
  const child = start('fill.mjs', { path, bytes })
  const report = await reportOf(child)
  const problems = [...report.problems]
  if (report.largestFile > 80 * 2 ** 20) problems.push(`the file has ${report.largestFile} bytes`)
  if (report.memoryGrowth > 64 * 2 ** 20)
    problems.push(`memory grew by ${report.memoryGrowth} bytes`)
  return { ...report, problems }
}
