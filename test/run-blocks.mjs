// Runs modules one after the other in this process, each until nothing keeps the process alive any more, as if it had a
// process of its own. Prints a line of JSON per module: what it printed, and why it failed. A module that never ends
// has no line.
import { writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'

const files = process.argv.slice(2)
const environment = { ...process.env }
let current

process.stdout.write = (...args) => keep('stdout', ...args)
process.stderr.write = (...args) => keep('stderr', ...args)
process.on('uncaughtException', fail)
process.on('beforeExit', next)
next()

/** The event is emitted again after the next module, because that gives the process something to do. */
function next() {
  if (current !== undefined) finish()
  const file = files.shift()
  if (file === undefined) return
  current = { file, stdout: '', stderr: '', isDone: false }
  // Since Node 26, an import alone does not keep the process alive.
  setImmediate(() =>
    import(pathToFileURL(file).href).then(() => {
      current.isDone = true
    }, fail),
  )
}

function finish() {
  const { isDone, ...outcome } = current
  if (process.exitCode) outcome.error ??= `The exit code is ${process.exitCode}.`
  if (!isDone) outcome.error ??= 'An await at the top level never settles.'
  process.exitCode = undefined
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, environment)
  try {
    writeSync(1, `${JSON.stringify(outcome)}\n`)
  } catch {
    // Nobody reads it any more. An error that is thrown here would begin the event again, without end.
    process.exit(1)
  }
}

function keep(stream, chunk, ...others) {
  current[stream] += chunk
  others.find((other) => typeof other === 'function')?.()
  return true
}

function fail(error) {
  current.error ??= inspect(error)
}
