// Finds what makes a test pass or fail by chance: an expectation about elapsed time, a sleep that waits for something to
// happen, a wait that ends after a second, tests that are left out, a comparison that is always met, and a hook that only the
// first file of a process has.
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { filesIn } from './files.mjs'
import { root as workspace } from './run.mjs'
import { exceptions } from './test-exceptions.mjs'

const remedies = {
  duration:
    'compares elapsed time. Compare an order or an event, use a manual clock, or the time for which the process ran: Stalls of @stowage/test-servers.',
  sleep:
    'sleeps. Wait for an event, or poll for the condition: a test must also pass if its sleeps take seconds longer.',
  wait: 'waits for a second at most. Use expect.poll, or give vi.waitFor a timeout.',
  leftOut: 'leaves tests out, or runs only some.',
  shared:
    'has a hook or a setting that only the first file of a process gets: such a module is executed once. Export a function that each file calls.',
  pattern:
    'accepts any text: toMatchObject compares the fields of a regular expression, which has none. Use expect.stringMatching.',
}

const difference = /\b(?:Date|performance)\.now\(\)\s*-|-\s*(?:Date|performance)\.now\(\)/

/** What is wrong in the tests of a workspace: `path:line` and the remedy. */
export function chanceProblems(root) {
  const found = testFiles(root).flatMap((file) => {
    const path = relative(root, file)
    return problemsIn(readFileSync(file, 'utf8'), path).map((problem) => ({ path, ...problem }))
  })
  const isListed = ({ kind, path }) => exceptions[kind][path] !== undefined
  const wrong = found
    .filter((each) => !isListed(each))
    .map(({ path, line, kind }) => `${path}:${line} ${remedies[kind]}`)
  return root === workspace ? [...wrong, ...unusedExceptions(found)] : wrong
}

/** A reason that is no longer needed would permit the next problem. */
function unusedExceptions(found) {
  return Object.entries(exceptions).flatMap(([kind, paths]) =>
    Object.keys(paths)
      .filter((path) => !found.some((each) => each.kind === kind && each.path === path))
      .map((path) => `scripts/lib/test-exceptions.mjs: ${path} needs no exception for ${kind}`),
  )
}

function testFiles(root) {
  return ['packages', 'examples', 'test']
    .flatMap((folder) => filesIn(join(root, folder)))
    .filter((file) => isTest(relative(root, file)))
}

function isTest(path) {
  return (
    /\.(ts|mjs)$/.test(path) &&
    /(^|\/)test\/|^packages\/testing\/src\/conformance\//.test(path) &&
    !/\bprojects\b/.test(path)
  )
}

function problemsIn(text, path) {
  const lines = text
    .replace(/\/\*[\s\S]*?\*\//g, blank)
    .replace(/(^|\s)\/\/.*$/gm, blank)
    .split('\n')
  const durations = durationsIn(lines)
  const isModule = !path.includes('.test.')
  return lines.flatMap((code, index) => {
    const line = index + 1
    const kinds = []
    if (isUpperBound(code) && namesDuration(code, durations)) kinds.push('duration')
    if (isSleep(code) && !isPoll(lines, index)) kinds.push('sleep')
    if (isShortWait(lines, index)) kinds.push('wait')
    if (leavesOut(code)) kinds.push('leftOut')
    if (isModule && isForOneFile(code)) kinds.push('shared')
    if (matchesPattern(lines, index)) kinds.push('pattern')
    return kinds.map((kind) => ({ line, kind }))
  })
}

/** Keeps the numbers of the lines. */
function blank(comment) {
  return comment.replace(/[^\n]/g, ' ')
}

function isExpectation(code) {
  return /\b(?:expect|assert(?:\.\w+)?)\(/.test(code)
}

/** A lower bound cannot be missed because the machine is slow. */
function isUpperBound(code) {
  return isExpectation(code) && !/\.toBeGreaterThan|[\w)] >=? /.test(code)
}

function namesDuration(code, durations) {
  if (difference.test(code)) return true
  return [...durations].some((name) => new RegExp(`\\b${name}\\b`).test(code))
}

/** Names of variables and functions whose value is a difference of two times, also by way of another one of them. */
function durationsIn(lines) {
  const names = new Set()
  for (let size = -1; size < names.size; ) {
    size = names.size
    let surrounding
    for (const code of lines) {
      if (/^\s*(?:test|it|describe)\b/.test(code)) surrounding = undefined
      const [, declared] =
        /^\s*(?:export )?(?:const|let|async function|function)\s+(\w+)/.exec(code) ?? []
      const isFunction = /function\s|=>/.test(code)
      if (isFunction && declared !== undefined) surrounding = declared
      if (!isDurationOf(code, names)) continue
      if (declared !== undefined) names.add(declared)
      else if (/^\s*return\b/.test(code) && surrounding !== undefined) names.add(surrounding)
    }
  }
  return names
}

function isDurationOf(code, names) {
  if (isExpectation(code)) return false
  if (/^\s*(?:const|let|return)\b/.test(code) && difference.test(code)) return true
  return [...names].some((name) =>
    new RegExp(`(?:const|let)\\s+\\w+ = (?:await )?${name}\\b`).test(code),
  )
}

/** What is passed on to a sleep, such as `wait` of a conformance case, is up to the caller. A manual clock is not meant. */
function isSleep(code) {
  if (/\(ms(?:: number)?\) =>|\.(?:sleep|setTimeout)\(/.test(code)) return false
  if (/\bsetTimeout\((?:resolve|r|done), \d/.test(code)) return true
  return (
    /\b(?:sleep|delay|pause|setTimeout)\((?:\d|[\w.]*[mM]s\b|[^()]*\*)/.test(code) &&
    /await|return|\.then|=>/.test(code)
  )
}

/** Whether the line is in a loop that ends when a condition is met: its number of rounds does not depend on the machine. */
function isPoll(lines, index) {
  const headers = surroundingHeaders(lines, index)
  return [lines[index], ...headers].some((code) =>
    /\bwhile \(|\bfor \(;;\)|\bfor \(let \w+ = .*await/.test(code),
  )
}

/** Whether the line calls vi.waitFor or vi.waitUntil with one argument: the timeout is then a second. */
function isShortWait(lines, index) {
  const start = lines[index].search(/(?<=\bvi\.wait(?:For|Until))\(/)
  if (start < 0) return false
  const text = lines.slice(index).join('\n').slice(start)
  let depth = 0
  for (const char of text.replace(/'[^'\n]*'|`[^`]*`|,(?=\s*\))/g, '')) {
    if ('([{'.includes(char)) depth++
    if (')]}'.includes(char) && --depth === 0) return true
    if (char === ',' && depth === 1) return false
  }
  return false
}

/** Whether a regular expression is a value of the object that `toMatchObject` compares with. */
function matchesPattern(lines, index) {
  if (!/\w: \/[^/*\s]/.test(lines[index])) return false
  return [lines[index], ...surroundingHeaders(lines, index)].some((code) =>
    /\btoMatchObject\(/.test(code),
  )
}

/** The lines that begin the blocks around this one, up to that of its function. */
function surroundingHeaders(lines, index) {
  const headers = []
  let indent = indentOf(lines[index])
  for (let above = index - 1; above >= 0 && indent > 0; above--) {
    const code = lines[above]
    if (code.trim() === '' || indentOf(code) >= indent) continue
    indent = indentOf(code)
    if (/=> \{$|\bfunction\b/.test(code)) break
    headers.push(code)
  }
  return headers
}

function indentOf(code) {
  return code.length - code.trimStart().length
}

function leavesOut(code) {
  return (
    /\b(?:test|it|describe|suite|bench)(?:\.\w+(?:\([^)]*\))?)*\.(?:only|skip|todo|skipIf|runIf|fails)\b/.test(
      code,
    ) || /async \(\{[^}]*\bskip\b[^}]*\}\)|\bctx\.skip\(/.test(code)
  )
}

function isForOneFile(code) {
  return /^(?:(?:before|after)(?:All|Each)|vi\.setConfig)\(/.test(code)
}
