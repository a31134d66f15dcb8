module.exports = { transform: { '\\.ts$': [require('./ts-jest.json'), {}] } }
