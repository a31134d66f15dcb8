#!/usr/bin/env node
import { run } from '../dist/index.js'

// What the AWS SDK prints about the version of Node is no concern of these commands.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'
// Client libraries print hints there, which the findings contain.
console.warn = () => {}
for (const stream of [process.stdout, process.stderr]) stream.on('error', onWriteError)
process.exitCode = await run(process.argv.slice(2))
// The module of --config may keep the process alive, with connections or a server of the application.
process.stdout.write('', () => setTimeout(() => process.exit(), 500).unref())

/** A reader such as `head` closes a pipe before its end. */
function onWriteError({ code }) {
  if (code === 'EPIPE') return
  process.stderr.write(`✗ The output cannot be written (${code}).\n`)
  process.exit(1)
}
