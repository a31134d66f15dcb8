#!/usr/bin/env node
import { run } from '../dist/index.js'

// What the AWS SDK prints about the version of Node is no concern of these commands.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'
// Client libraries print hints there, which the findings contain.
console.warn = () => {}
process.exitCode = await run(process.argv.slice(2))
