import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Remedy } from '../../scripts/lib/progress.mjs'
import { endsWithUs } from './cleanup.mjs'

const program = fileURLToPath(new URL('../child.mjs', import.meta.url))
const startUpMs = 20_000

/** Runs one contestant and resolves to its results, one per workload. */
export async function runContestant(job, workloads) {
  const child = endsWithUs(spawn(process.execPath, ['--expose-gc', program, JSON.stringify(job)]))
  const output = collect(child.stdout)
  const errors = collect(child.stderr)
  const boundMs = startUpMs + 3 * workloads.length * (job.windows.warmUpMs + job.windows.timedMs)
  const ending = await endOf(child, boundMs)
  const lines = output().split('\n').filter(isResult)
  if (ending === undefined && lines.length === workloads.length) return lines.map(JSON.parse)
  const what = ending ?? `gave ${lines.length} of ${workloads.length} results`
  throw new Remedy(`${job.group}: the contestant ${job.contestant} ${what}.\n${errors()}`)
}

/** Resolves to what went wrong, if anything. */
function endOf(child, boundMs) {
  return new Promise((resolve, reject) => {
    const bound = setTimeout(() => {
      resolve(`hung and was killed after ${boundMs / 1000} s`)
      child.kill('SIGKILL')
    }, boundMs)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(bound)
      resolve(code === 0 ? undefined : `ended with ${signal ?? `exit code ${code}`}`)
    })
  })
}

function collect(stream) {
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  return () => text
}

/** Whatever else a library writes is no result. */
function isResult(line) {
  return line.startsWith('{"workload":')
}
