# Lays the build out as a distribution would, and packs it: cmake --install, cpack.
if(TARGET scope_preload)
    install(TARGETS scope_preload scope_http LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(TARGETS scope RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    # The library reads /etc/scope/scope.yml and no other place of the system, so that is where it goes
    # for /usr and /usr/local; a private prefix keeps a copy to look at. Known only when installing
    # (--prefix, cpack). What somebody has edited stays.
    install(CODE [[
        if(CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
            set(scope_etc /etc/scope)
        else()
            set(scope_etc ${CMAKE_INSTALL_PREFIX}/etc/scope)
        endif()
    ]])
    install(CODE "set(scope_yml ${PROJECT_SOURCE_DIR}/conf/scope.yml)")
    install(CODE [[
        if(EXISTS "$ENV{DESTDIR}${scope_etc}/scope.yml")
            message(STATUS "Kept as it is: $ENV{DESTDIR}${scope_etc}/scope.yml")
        else()
            file(INSTALL "${scope_yml}" DESTINATION "${scope_etc}")
        endif()
    ]])
    install(FILES ${PROJECT_SOURCE_DIR}/docs/scope.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")

    set(CPACK_GENERATOR DEB)
    set(CPACK_PACKAGE_NAME scope)
    set(CPACK_PACKAGE_VENDOR "The scope authors")
    set(CPACK_PACKAGE_CONTACT "The scope authors <maintainers@users.noreply.r-seed-1bd762f1.example>")
    set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "observe any Linux program: OpenTelemetry from a preloaded library")
    set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
    set(CPACK_STRIP_FILES ON)
    set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
    set(CPACK_DEBIAN_PACKAGE_SECTION utils)
    # The library is content with an old glibc; the command wants that of the machine it was built on, or
    # exactly what dpkg-shlibdeps finds.
    find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
    if(DPKG_SHLIBDEPS)
        set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
    else()
        execute_process(COMMAND getconf GNU_LIBC_VERSION OUTPUT_VARIABLE scope_glibc OUTPUT_STRIP_TRAILING_WHITESPACE)
        string(REPLACE "glibc " "" scope_glibc "${scope_glibc}")
        set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= ${scope_glibc})")
    endif()
    set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/conffiles)
    file(WRITE ${PROJECT_BINARY_DIR}/conffiles "/etc/scope/scope.yml\n")
    include(CPack)
endif()
