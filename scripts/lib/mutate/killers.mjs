import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { UserError } from '../cli.mjs'
import { root } from '../run.mjs'
import { coverageOfTests, isCovered, isKit, testFilesOf } from './coverage.mjs'
import { PassedTests } from './passed-tests.mjs'
import { TestRunner, unchanged } from './test-runner.mjs'

const execute = promisify(execFile)
const simulate = fileURLToPath(new URL('simulate.mjs', import.meta.url))
/** The scenarios that reach most of a folder. */
const likely = {
  failover: ['failover'],
  generations: ['generations', 'facade', 'cleared-loads'],
  leases: ['remember', 'cleared-loads'],
  limits: ['limits'],
  loading: ['remember', 'cleared-loads'],
  locks: ['locks'],
  memo: ['siblings', 'facade'],
  near: ['near', 'bus', 'siblings'],
  remember: ['remember', 'cleared-loads'],
  tags: ['tags'],
  collections: ['write-through'],
}
/** The cases of the kit that reach most of a folder. */
const likelyCases = {
  limits: 'limit|concurrency',
  locks: 'lock|concurrency',
  tags: 'tag',
}

/** How long a test file runs that is not tried before the others, in milliseconds. */
const slowMs = 3_000
/** The packages that the simulation runs. */
const simulated = ['core', 'sessions']
/** What can notice the mutants of a folder, in the order of the cost: unit tests, the kit, and the simulation. */
export class Killers {
  #mutants
  #mutated
  #jobs
  /** The files of the folder, which notice most, and the others. With a mutant that does not end, the first ones take long. */
  #files
  /** The tests of these files. They are measured when they are first needed: most mutants need the first ones only. */
  #tests = []
  #isOwn
  #cases
  #scenarios
  #seeds
  #isQuick
  /** Those that are free: each runs one mutant at a time. */
  #runners = []

  constructor(name, folder, mutants, { bundle, code, jobs, seeds, isQuick }) {
    const [room] = folder.split('/')
    this.#mutants = mutants
    this.#mutated = { bundle, code }
    this.#jobs = jobs
    this.#isQuick = isQuick
    this.#isOwn = (file) => file.includes(`/test/${room}/`)
    const files = testFilesOf(name)
    const others = files.filter((file) => !this.#isOwn(file))
    this.#files = [files.filter(this.#isOwn), ...(isQuick ? [] : [others])]
    this.#cases = likelyCases[room]
    this.#scenarios = likely[room] ?? []
    this.#seeds = simulated.includes(name) ? seeds : 0
  }

  /** @returns what has noticed the mutant first; `undefined` if nothing has */
  find(mutant) {
    return this.#run(
      mutant,
      async (runner) =>
        (await this.#failedUnit(runner, mutant)) ??
        (this.#isQuick ? undefined : await this.#failedKitOrSeed(runner, mutant)),
    )
  }

  /** @throws UserError if a test fails without a change, for example because of another file of its process */
  #testsOf(group) {
    this.#tests[group] ??= this.#measure(this.#files[group])
    return this.#tests[group]
  }

  async #measure(files) {
    const tests = await coverageOfTests(files, { ...this.#mutated, jobs: this.#jobs })
    // Other tests that run the kit do so for the wrapper that they test.
    const isUnit = ({ file, runsKit }) => this.#isOwn(file) || !runsKit
    const units = tests.filter(isUnit).sort((a, b) => a.ms - b.ms)
    const kit = tests.filter(isKit)
    await this.#checkUnchanged([...units, ...kit])
    return { units, kit }
  }

  async #checkUnchanged(tests) {
    const passed = new PassedTests()
    const isReached = (test) => this.#mutants.some((mutant) => isCovered(test, mutant))
    const reached = tests.filter((test) => !passed.has(test.id) && isReached(test))
    const failed = await this.#run(unchanged, async (runner) => this.#failedTest(runner, reached))
    if (failed !== undefined) throw new UserError(`Without a change, a test fails: ${failed}`)
    passed.add(reached.map(({ id }) => id))
  }

  async #run(mutant, work) {
    const runner = this.#runners.pop() ?? new TestRunner(this.#mutated)
    runner.plant(mutant)
    return work(runner).finally(() => this.#runners.push(runner))
  }

  async #failedUnit(runner, mutant) {
    const isReaching = (test) => isCovered(test, mutant)
    for (const group of this.#files.keys()) {
      const { units } = await this.#testsOf(group)
      const failed = await this.#failedTest(runner, units.filter(isReaching))
      if (failed === undefined) continue
      // The same file is likely to notice the next mutant. A slow one is tried after the others nevertheless.
      const isNext = ({ file, ms }) => ms < slowMs && failed.startsWith(`${file}:`)
      units.sort((a, b) => Number(isNext(b)) - Number(isNext(a)))
      return failed
    }
    return undefined
  }

  async #failedKitOrSeed(runner, mutant) {
    const { kit } = await this.#testsOf(1)
    const reaching = kit.filter((test) => isCovered(test, mutant))
    return (
      (await this.#failedTest(runner, reaching, this.#cases)) ?? (await this.#failedSeed(runner))
    )
  }

  close() {
    for (const runner of this.#runners) runner.close()
  }

  #failedTest(runner, reaching, cases) {
    if (reaching.length === 0) return undefined
    const files = reaching.map(({ file }) => file)
    const ms = reaching.reduce((sum, test) => sum + test.ms, 0)
    return runner.failedTest(files, { cases, timeoutMs: Math.ceil(30_000 + 3 * ms) })
  }

  async #failedSeed({ env }) {
    if (this.#seeds === 0) return undefined
    const failed = async (count, names) => {
      const args = ['--no-warnings', simulate, String(count), ...names]
      const options = { cwd: root, env, timeout: 300_000, killSignal: 'SIGKILL' }
      return execute(process.execPath, args, options).then(
        () => undefined,
        ({ stdout = '' }) => `simulation: ${stdout.trim() || 'does not end'}`,
      )
    }
    const first =
      this.#scenarios.length > 0 ? await failed(this.#seeds, this.#scenarios) : undefined
    return first ?? failed(Math.ceil(this.#seeds / 30), [])
  }
}
