import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LineCounter, parseDocument } from 'yaml'

/** Expressions whose values nobody outside of the repository chooses. */
const trusted = /^(?:matrix\.[\w-]+|runner\.\w+|github\.(?:sha|run_id|run_number|repository))$/
const printers = /\b(?:echo|printf|cat|tee|env|printenv|console\.log)\b|\bset -\w*x/

/**
 * What lets somebody outside of the repository take over a workflow, or read its secrets: a pull request, or an action
 * whose tag was moved.
 *
 * @param {string} folder with the workflows
 * @returns {string[]}
 */
export function workflowProblems(folder) {
  const files = readdirSync(folder).filter((file) => /\.ya?ml$/.test(file))
  return files.flatMap((file) => problemsIn(readFileSync(join(folder, file), 'utf8'), file))
}

function problemsIn(text, file) {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter })
  if (document.errors.length > 0) return document.errors.map(({ message }) => `${file} ${message}`)
  const lineOf = (path) => {
    const node = document.getIn(path, true)
    return lineCounter.linePos((node ?? document.contents).range[0]).line
  }
  const commentOf = (path) => document.getIn(path, true).comment
  const problems = [...ofWorkflow(document.toJS(), commentOf)]
  return problems.map(([path, problem]) => `${file}:${lineOf(path)} ${problem}`)
}

/** Each problem with the path of its node. */
function* ofWorkflow(workflow, commentOf) {
  const isForForks = 'pull_request_target' in triggersOf(workflow)
  yield* ofPermissions(workflow.permissions, ['permissions'])
  if (workflow.permissions === undefined) yield [[], 'has no permissions. Begin with {}']
  if (Object.values(workflow.permissions ?? {}).includes('write')) {
    yield [
      ['permissions'],
      'every job gets a permission to write. List it at the job that needs it',
    ]
  }
  for (const [name, job] of Object.entries(workflow.jobs)) {
    const path = ['jobs', name]
    yield* ofPermissions(job.permissions, [...path, 'permissions'])
    yield* ofAction(job, path, commentOf)
    for (const [index, step] of (job.steps ?? []).entries()) {
      const stepPath = [...path, 'steps', index]
      yield* ofAction(step, stepPath, commentOf)
      yield* ofCheckout(step, stepPath, isForForks)
      yield* ofScript(step, stepPath, { ...workflow.env, ...job.env, ...step.env })
    }
  }
}

function triggersOf({ on }) {
  if (typeof on === 'string') return { [on]: {} }
  return Array.isArray(on) ? Object.fromEntries(on.map((name) => [name, {}])) : on
}

function* ofPermissions(permissions, path) {
  if (typeof permissions === 'string') {
    yield [path, `permissions: ${permissions} is more than a job needs. List each one`]
  }
}

/** A tag can be moved to other code, a commit cannot. */
function* ofAction({ uses }, path, commentOf) {
  if (uses === undefined || uses.startsWith('./')) return
  const at = [...path, 'uses']
  if (!/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(uses)) {
    yield [at, `${uses} is not pinned to a commit: owner/name@<40 hexadecimal digits> # v1.2.3`]
  } else if (!/^ v\d+\.\d+\.\d+$/.test(commentOf(at) ?? '')) {
    yield [at, `${uses} has no comment with its version: # v1.2.3`]
  }
}

function* ofCheckout({ uses = '', with: options = {} }, path, isForForks) {
  if (!uses.startsWith('actions/checkout@')) return
  const at = [...path, 'uses']
  if (isForForks) yield [at, 'pull_request_target with a checkout runs code of a fork with secrets']
  if (options['persist-credentials'] !== false) {
    yield [at, 'a checkout that leaves the token in .git: add persist-credentials: false']
  }
}

/** The text of an expression becomes part of the program. In a variable of the environment it stays a text. */
function* ofScript(step, path, env) {
  const [key, text] = step.run === undefined ? ['with', step.with?.script] : ['run', step.run]
  if (typeof text !== 'string') return
  const at = [...path, key]
  for (const [, expression] of text.matchAll(/\$\{\{\s*(.*?)\s*\}\}/gs)) {
    if (/\bsecrets\b/.test(expression)) yield [at, `a secret in a script: ${expression}. Use env`]
    else if (!trusted.test(expression)) yield [at, `${expression} in a script. Use env`]
  }
  const isSecret = ([, value]) => /\bsecrets\b|github\.token/.test(`${value}`)
  const secrets = Object.entries(env).filter(isSecret)
  for (const line of text.split('\n')) {
    if (secrets.length === 0 || !printers.test(line)) continue
    const isPrinted = ([name]) =>
      new RegExp(`\\b${name}\\b|\\b(?:print)?env\\b|\\bset -`).test(line)
    if (secrets.some(isPrinted)) yield [at, `a secret in the log: ${line.trim()}`]
  }
}
