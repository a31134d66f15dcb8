import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { root } from './run.mjs'
import { sectionOf } from './sections.mjs'

const shown = 10

/**
 * A reporter of Vitest that ends a run with the slowest files, the time of each section, and for each file that failed the
 * command that runs it again and the output of its servers.
 */
export default class TestSummary {
  #logs

  onInit() {
    this.#logs = mkdtempSync(join(tmpdir(), 'stowage-tests-'))
    process.env.STOWAGE_LOGS = this.#logs
  }

  /** At once, for a run that is ended before Vitest prints its failures. */
  onTestCaseResult(test) {
    const { state, errors = [] } = test.result()
    if (state !== 'failed') return
    const messages = errors.map(({ message }) => message)
    print([`Failed: ${test.module.relativeModuleId} > ${test.fullName}`, ...messages])
  }

  onTestRunEnd(modules) {
    const files = modules.map(measure)
    if (files.length > 1) print(slowest(files), bySection(files))
    print(this.#failures(modules))
    if (readdirSync(this.#logs).length === 0) rmSync(this.#logs, { recursive: true })
  }

  #failures(modules) {
    const lines = []
    const failed = new Set(modules.filter((each) => !each.ok()).map(({ moduleId }) => moduleId))
    for (const module of modules) {
      const folder = join(this.#logs, logFolderOf(module.moduleId))
      if (!failed.has(module.moduleId)) rmSync(folder, { recursive: true, force: true })
      else if (!module.ok()) lines.push(...failureOf(module, folder))
    }
    return lines.length > 0 ? ['Failed. Run again with:', ...lines] : []
  }
}

/** The name of the folder for the output of the servers of a test file. */
export function logFolderOf(file) {
  return relative(root, file).replaceAll(/[\\/]/g, '-')
}

function measure(module) {
  const { collectDuration, setupDuration, duration } = module.diagnostic()
  const file = module.relativeModuleId
  const { name } = module.project
  return {
    name: ['all', 'units', 'isolated'].includes(name) ? file : `${file} (${name})`,
    section: sectionOf(file) ?? 'workspace',
    seconds: (collectDuration + setupDuration + duration) / 1_000,
    cpu: module.meta().cpuSeconds ?? 0,
  }
}

function slowest(files) {
  const sorted = files.toSorted((a, b) => b.seconds - a.seconds).slice(0, shown)
  return ['Slowest files:', ...sorted.map((file) => `${times(file)}  ${file.name}`)]
}

function bySection(files) {
  const totals = new Map()
  for (const { section, seconds, cpu } of files) {
    const total = totals.get(section) ?? { name: section, count: 0, seconds: 0, cpu: 0 }
    totals.set(section, total)
    total.count++
    total.seconds += seconds
    total.cpu += cpu
  }
  const sorted = [...totals.values()].sort((a, b) => b.seconds - a.seconds)
  const all = { name: 'all', count: files.length, ...sum(sorted) }
  const lines = [...sorted, all].map(
    (total) => `${times(total)}  ${total.name}, ${total.count} files`,
  )
  return ['Sections (seconds of all workers):', ...lines]
}

function sum(totals) {
  const add = (key) => totals.reduce((result, total) => result + total[key], 0)
  return { seconds: add('seconds'), cpu: add('cpu') }
}

function times({ seconds, cpu }) {
  return `${seconds.toFixed(1).padStart(8)} s ${cpu.toFixed(1).padStart(7)} s CPU`
}

function failureOf({ relativeModuleId, project }, logs) {
  const script = process.env.TEST_TIER === 'full' ? 'npm run test:full' : 'npm test'
  const command = `  ${script} -- ${relativeModuleId} --project '${project.name}'`
  return existsSync(logs) ? [command, `    output of its servers: ${logs}`] : [command]
}

function print(...paragraphs) {
  for (const lines of paragraphs) if (lines.length > 0) console.log(`${lines.join('\n')}\n`)
}
