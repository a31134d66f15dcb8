import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { root } from '../run.mjs'
import { coverageOfTests, isCovered, isKit } from './coverage.mjs'
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

/** The packages that the simulation runs. */
const simulated = ['core', 'sessions']
/** With `isQuick`, only files of the folder take longer. */
const quickMs = 5_000

/** What can notice the mutants of a folder, in the order of the cost: unit tests, the kit, and the simulation. */
export class Killers {
  #mutated
  /** Those of the folder, which notice most, and the others. With a mutant that does not end, the first ones take long. */
  #units
  #kit
  #cases
  #scenarios
  #seeds
  #isQuick
  /** Those that are free: each runs one mutant at a time. */
  #runners = []

  constructor(folder, tests, { bundle, code, seeds, isQuick }) {
    this.#mutated = { bundle, code }
    this.#isQuick = isQuick
    // Other tests that run the kit do so for the wrapper that they test.
    const isOwn = ({ file }) => file.includes(`/test/${folder}/`)
    const isUnit = (test) => isOwn(test) || !(test.runsKit || (isQuick && test.ms > quickMs))
    const units = tests.filter(isUnit).sort((a, b) => a.ms - b.ms)
    this.#units = [units.filter(isOwn), units.filter((test) => !isOwn(test))]
    this.#kit = tests.filter(isKit)
    this.#cases = likelyCases[folder]
    this.#scenarios = likely[folder] ?? []
    this.#seeds = seeds
  }

  static async of(name, folder, { bundle, code, seeds, isQuick, jobs }) {
    const tests = await coverageOfTests(name, bundle, { code, jobs })
    const isSimulated = simulated.includes(name)
    const [room] = folder.split('/')
    return new Killers(room, tests, { bundle, code, isQuick, seeds: isSimulated ? seeds : 0 })
  }

  /** @returns the test that fails without a change, for example because of another file of its process */
  async failsWithout(mutants) {
    const passed = new PassedTests()
    const isReaching = (test) =>
      !passed.has(test.id) && mutants.some((mutant) => isCovered(test, mutant))
    const failed = await this.#run(unchanged, (runner) => this.#failedTests(runner, isReaching))
    if (failed === undefined) passed.add(this.#tests.filter(isReaching).map(({ id }) => id))
    return failed
  }

  /** Those that run until one fails. */
  get #tests() {
    return this.#isQuick ? this.#units.flat() : [...this.#units.flat(), ...this.#kit]
  }

  /** @returns what has noticed the mutant first; `undefined` if nothing has */
  find(mutant) {
    const isReaching = (test) => isCovered(test, mutant)
    return this.#run(
      mutant,
      async (runner) =>
        (await this.#failedTests(runner, isReaching)) ??
        (this.#isQuick ? undefined : await this.#failedSeed(runner)),
    )
  }

  async #run(mutant, work) {
    const runner = this.#runners.pop() ?? new TestRunner(this.#mutated)
    runner.plant(mutant)
    return work(runner).finally(() => this.#runners.push(runner))
  }

  async #failedTests(runner, isReaching) {
    for (const units of this.#units) {
      const failed = await this.#failedTest(runner, units.filter(isReaching))
      if (failed === undefined) continue
      // The same file is likely to notice the next mutant.
      const rank = ({ file }) => (failed.startsWith(`${file}:`) ? 0 : 1)
      units.sort((a, b) => rank(a) - rank(b))
      return failed
    }
    if (this.#isQuick) return undefined
    return this.#failedTest(runner, this.#kit.filter(isReaching), this.#cases)
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
