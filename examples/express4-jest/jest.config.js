module.exports = { testEnvironment: 'node', testMatch: ['**/test/*.spec.js'] }
