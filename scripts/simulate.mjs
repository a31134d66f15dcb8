// Searches for defects in a simulated world: npm run simulate -- [scenario] [--seeds N] [--processes P] [--replay SEED]
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { main, UserError } from './lib/cli.mjs'
import { prepare } from './lib/prepare.mjs'
import { replayOf } from './lib/replay-command.mjs'

const usage = `Usage: npm run simulate -- [scenario …] [option …]

  --seeds N      number of seeds per scenario (default 10000)
  --total N      number of seeds of all chosen scenarios together
  --seed N       first seed (default 0)
  --processes P  number of processes (default 3)
  --calls N      maximum number of calls per seed (default: that of the scenario, 30 or 60)
  --min-calls N  minimum number of calls per seed (default 1)
  --faultless    leave out all faults
  --replay SEED  run one seed and print its trace
  --digest       print a digest of all traces, to compare machines
  --workers N    number of threads (default: one per core)

Scenarios (without a name, all):
`
const options = {
  seeds: { type: 'string', default: '10000' },
  total: { type: 'string' },
  seed: { type: 'string', default: '0' },
  processes: { type: 'string' },
  calls: { type: 'string' },
  'min-calls': { type: 'string' },
  faultless: { type: 'boolean', default: false },
  replay: { type: 'string' },
  digest: { type: 'boolean', default: false },
  workers: { type: 'string', default: String(availableParallelism()) },
  help: { type: 'boolean', default: false },
}

function parse(args) {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    return { values, names: positionals }
  } catch (error) {
    throw new UserError(`${error.message}\n\n${usage}`)
  }
}

function settingsOf(values) {
  return {
    ...(values.processes && { processes: count(values, 'processes', 1) }),
    ...(values.calls && { maxCalls: count(values, 'calls', 1) }),
    ...(values['min-calls'] && { minCalls: count(values, 'min-calls', 1) }),
    ...(values.faultless ? { isFaultless: true } : {}),
  }
}

function count(values, name, min) {
  const number = Number(values[name])
  if (Number.isSafeInteger(number) && number >= min) return number
  throw new UserError(`--${name}: ${values[name]} is not an integer of at least ${min}.`)
}

/** Runs one seed of each scenario and prints what happened, whether it fails or not. */
async function replay(scenarios, names, settings, seed) {
  const { simulateSeed, planOf, runPlan, report } = await import('@stowage/testing/simulation')
  let failed = 0
  for (const name of names) {
    const failure = await simulateSeed(scenarios[name], seed, settings)
    if (failure !== undefined) failed++
    const { trace } = await runPlan(scenarios[name], planOf(scenarios[name], seed, settings), {
      isTraced: true,
    })
    console.log(
      failure === undefined
        ? `${trace}\n\n✓ ${name}, seed ${seed}`
        : report(failure, replayOf(failure)),
    )
  }
  return failed === 0 ? 0 : 1
}

/** Runs the seeds of a scenario on several threads. */
async function search(name, settings, values) {
  const [seeds, first, workers] = [
    count(values, 'seeds', 1),
    count(values, 'seed', 0),
    count(values, 'workers', 1),
  ]
  const start = performance.now()
  const progress = new Progress(name, seeds, start)
  const share = Math.ceil(seeds / workers)
  const parts = Array.from({ length: workers }, (_, index) => ({
    seed: first + index * share,
    seeds: Math.max(0, Math.min(share, seeds - index * share)),
  })).filter((part) => part.seeds > 0)
  const results = await Promise.all(
    parts.map((part) => runWorker({ name, settings, ...part, digest: values.digest }, progress)),
  )
  progress.end()
  const reports = results.flatMap(({ report }) => report ?? [])
  const seconds = (performance.now() - start) / 1000
  if (reports.length > 0) console.log(`\n${reports[0]}\n`)
  const digest = values.digest ? `, digest ${results.map((result) => result.digest).join(' ')}` : ''
  const outcome = reports.length > 0 ? '✗' : '✓'
  console.log(
    `${outcome} ${name}: ${progress.done} of ${seeds} seeds in ${seconds.toFixed(1)} s${digest}`,
  )
  return { name, seeds: progress.done, seconds, hasFailed: reports.length > 0 }
}

/** A table in Markdown, for the documentation. */
function tableOf(results) {
  const total = (values) => values.reduce((sum, value) => sum + value, 0)
  const rows = results.map(({ name, seeds, seconds }) => rowOf(`\`${name}\``, seeds, seconds))
  const sum = rowOf(
    'together',
    total(results.map(({ seeds }) => seeds)),
    total(results.map(({ seconds }) => seconds)),
  )
  const findings = results.filter(({ hasFailed }) => hasFailed).map(({ name }) => name)
  const outcome = findings.length === 0 ? 'no finding' : `findings in ${findings.join(', ')}`
  const { version, arch } = process
  const head = `Node ${version} (${arch}, ${availableParallelism()} cores): ${outcome}`
  return [head, '', '| scenario | seeds | seconds |', '|---|---|---|', ...rows, sum].join('\n')
}

function rowOf(name, seeds, seconds) {
  return `| ${name} | ${seeds.toLocaleString('en-US')} | ${seconds.toFixed(1)} |`
}

function runWorker(workerData, progress) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('lib/simulate-worker.mjs', import.meta.url), {
      workerData,
      // Most of what a run creates is garbage when it ends. With less space, it is copied before.
      resourceLimits: { maxYoungGenerationSizeMb: 128 },
    })
    worker.on('message', (message) => {
      if (message.done !== undefined) progress.add(message.done)
      else resolve(message)
    })
    worker.on('error', reject)
  })
}

/** A line that counts seeds, in a terminal only. */
class Progress {
  done = 0
  #name
  #seeds
  #start

  constructor(name, seeds, start) {
    this.#name = name
    this.#seeds = seeds
    this.#start = start
  }

  add(done) {
    this.done += done
    if (!process.stdout.isTTY) return
    const perSecond = Math.round(this.done / ((performance.now() - this.#start) / 1000))
    process.stdout.write(
      `\r  ${this.#name}: ${this.done} of ${this.#seeds} seeds, ${perSecond} per second `,
    )
  }

  end() {
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[K')
  }
}

await main(async () => {
  const { values, names } = parse(process.argv.slice(2))
  await prepare()
  const { scenarios } = await import('@stowage/scenarios')
  const known = Object.values(scenarios)
  const list = known.map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`).join('\n')
  const unknown = names.filter(
    (name) => name !== 'all' && !known.some((scenario) => scenario.name === name),
  )
  if (values.help || unknown.length > 0) throw new UserError(usage + list)
  const isAll = names.length === 0 || names.includes('all')
  const chosen = isAll ? known.map(({ name }) => name) : names
  const settings = settingsOf(values)
  if (values.replay !== undefined)
    return replay(scenarios, chosen, settings, count(values, 'replay', 0))
  if (values.total !== undefined)
    values.seeds = String(Math.ceil(count(values, 'total', 1) / chosen.length))
  const results = []
  for (const name of chosen) results.push(await search(name, settings, values))
  if (results.length > 1) console.log(`\n${tableOf(results)}`)
  return results.every(({ hasFailed }) => !hasFailed) ? 0 : 1
})
