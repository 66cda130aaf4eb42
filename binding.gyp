# For tools that insist on node-gyp: CMake is the builder and holds the list of sources.
{ "targets": [
  { "target_name": "statespace_cmake", "type": "none", "actions": [{
      "action_name": "cmake_js", "message": "statespace is built by CMake",
      "inputs": ["CMakeLists.txt"], "outputs": ["build/cmake/Release/statespace.node"],
      "action": ["node", "node_modules/cmake-js/bin/cmake-js", "build", "-O", "build/cmake"] }] },
  { "target_name": "statespace", "type": "none", "dependencies": ["statespace_cmake"],
    "copies": [{ "files": ["build/cmake/Release/statespace.node"], "destination": "<(PRODUCT_DIR)" }] } ] }
