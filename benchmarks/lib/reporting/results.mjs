import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const benchmarks = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(benchmarks, 'results')
const bytesPerGiB = 1024 ** 3

/**
 * Stores the results of a group in `results/<group>.json`, with the date, the machine and the versions. Groups can
 * therefore be measured separately.
 *
 * @param {{ group: string, rounds: number, quick: boolean, seconds: number, load: number, pinned: boolean,
 *   targets: object[], rows: object[] }} result
 */
export function storeResult({ rows, ...result }) {
  const date = new Date().toISOString().slice(0, 10)
  const { group, ...figures } = result
  const head = { group, date, machine: machine(), versions: versions(), ...figures }
  // One line per row, so that a difference between two runs can be read.
  const lines = rows.map(({ group: _, ...row }) => `    ${JSON.stringify(row)}`).join(',\n')
  const text = JSON.stringify(head, undefined, 2).replace(
    /\n}$/,
    `,\n  "rows": [\n${lines}\n  ]\n}\n`,
  )
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${group}.json`), text)
}

/** The stored results of all groups, by the name of the group. */
export function storedResults() {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'))
  const results = files.map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')))
  return new Map(results.map((result) => [result.group, result]))
}

/** The result with the latest date. */
export function newestOf(results) {
  return [...results.values()].reduce((newest, each) => (newest.date >= each.date ? newest : each))
}

/** The exact versions that benchmarks/package.json asks for, without the packages of this workspace. */
export function peerVersions() {
  const { devDependencies } = JSON.parse(readFileSync(join(benchmarks, 'package.json'), 'utf8'))
  return Object.fromEntries(
    Object.entries(devDependencies).filter(([, version]) => !version.startsWith('workspace:')),
  )
}

function machine() {
  return {
    cpu: cpus()[0].model.trim(),
    cpus: cpus().length,
    memoryGiB: Math.round(totalmem() / bytesPerGiB),
    system: `${type()} ${release().split('-')[0]}`,
  }
}

function versions() {
  return {
    Node: process.version.slice(1),
    Redis: printedVersion('redis-server', ['--version'], /v=([\d.]+)/),
    Memcached: printedVersion('memcached', ['-V'], /([\d.]+)\s*$/),
    ...peerVersions(),
  }
}

/** `undefined` if the program is not installed: a group that needs no server can still be measured. */
function printedVersion(program, args, pattern) {
  try {
    return pattern.exec(execFileSync(program, args, { encoding: 'utf8' }).trim())?.[1]
  } catch {
    return undefined
  }
}
